"""The core's execution states, grouped as the rest of the robot sees them (core/execution_state.hpp)."""

from __future__ import annotations

ARMED = frozenset({"armed", "running", "paused", "holding"})
"""Somebody armed the robot, and nothing has disarmed it since."""
MOVING = ARMED | {"stopping"}
"""Something may move."""
