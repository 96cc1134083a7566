"""The rules that drives and sensors of a robot.toml keep: the twin of runtime/control/src/robot/devices.cpp."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.config import Drive, Sensor, StateChannel

IMU = tuple(f"{what}_{axis}" for what in ("angular_rate", "acceleration") for axis in "xyz")
FORCE_TORQUE = tuple(f"{what}_{axis}" for what in ("force", "torque") for axis in "xyz")
MEASURED: dict[str, tuple[str, ...]] = {"imu": IMU, "force-torque": FORCE_TORQUE, "distance": ("distance",)}
"""What each profile of a sensor measures."""
DRIVE_QUANTITIES = ("position", "velocity", "effort")

_CAN_OPEN_FUNCTIONS = (0x080, 0x180, 0x200, 0x280, 0x580, 0x600, 0x700)
_CAN_OPEN_BROADCASTS = (0x000, 0x080)
_BLOCK_BITS = 5
MAX_CAN_SIMPLE_NODE = 62
MAX_CAN_OPEN_NODE = 127


def quantity_problem(state: StateChannel, source: Drive | Sensor) -> str | None:
    """Say why `source` cannot measure this state, or nothing."""
    measured = MEASURED.get(source.profile)
    if measured is not None:
        if state.quantity in measured:
            return None
        return f'sensor "{source.name}" does not measure it; name a quantity of its profile'
    if state.quantity not in DRIVE_QUANTITIES:
        return "a drive measures position, velocity or effort; name a sensor for this one"
    if source.profile == "cia402" and state.quantity == "effort":
        return "a cia402 drive reports position and velocity only; choose one of them"
    return None


def _own_identifiers(device: Drive | Sensor) -> set[int]:
    if device.profile == "cia402":
        return {function + device.node for function in _CAN_OPEN_FUNCTIONS}
    return set(range(device.node << _BLOCK_BITS, (device.node + 1) << _BLOCK_BITS))


def collide(a: Drive | Sensor, b: Drive | Sensor) -> bool:
    """Whether two devices of one link would use the same CAN identifier."""
    own_a, own_b = _own_identifiers(a), _own_identifiers(b)
    shared_a = set(_CAN_OPEN_BROADCASTS) if a.profile == "cia402" else set()
    shared_b = set(_CAN_OPEN_BROADCASTS) if b.profile == "cia402" else set()
    return bool(own_a & own_b or own_a & shared_b or shared_a & own_b)


def drive_problems(drive: Drive) -> list[tuple[str, str]]:
    """Return key and reason of each setting that does not go with the drive's profile."""
    found = []
    if drive.profile == "cia402":
        if not 1 <= drive.node <= MAX_CAN_OPEN_NODE:
            found.append(
                (
                    "node",
                    f"{drive.node} is not between 1 and {MAX_CAN_OPEN_NODE}; choose a value in that range",
                )
            )
        if drive.feedback_hz is not None:
            found.append(
                ("feedback_hz", "a cia402 drive reports once a SYNC, which is once a cycle; remove it")
            )
        if drive.counts_per_turn is None:
            found.append(("counts_per_turn", "is missing; add it"))
        if drive.link.startswith("serial:"):
            found.append(("link", "a cia402 drive needs a link that several processes can hear; use can:"))
        return found
    if drive.node > MAX_CAN_SIMPLE_NODE:
        found.append(
            ("node", f"{drive.node} is not between 0 and {MAX_CAN_SIMPLE_NODE}; choose a value in that range")
        )
    if drive.counts_per_turn is not None:
        found.append(("counts_per_turn", "only a cia402 drive counts; remove it"))
    return found
