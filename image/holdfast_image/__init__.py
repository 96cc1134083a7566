"""Builds the appliance image: a pinned builder tree, the staged runtime, mkosi, and a cache keyed by content."""
