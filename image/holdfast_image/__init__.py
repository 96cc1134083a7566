"""Builds the appliance image: builder tree, staged runtime, mkosi, and a cache keyed by content."""
