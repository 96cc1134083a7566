"""The core's execution states, grouped as the rest of the robot sees them (core/execution_state.hpp)."""

from __future__ import annotations

ARMED = frozenset({"armed", "running", "paused", "holding"})
"""Somebody armed the robot, and nothing has disarmed it since."""
FOLLOWING = frozenset({"running", "holding"})
"""The active controller's setpoints are followed, or held for as long as they are late."""
MOVING = ARMED | {"stopping"}
"""Something may move."""
