"""What the frames of a robot need of each link: the twin of runtime/control/src/robot/bus_load.hpp.

A CAN frame counts with the most stuff bits that its length allows and with the gap behind it (Davis, Burns, Bril,
Lukkien: "Controller Area Network (CAN) schedulability analysis", 2007).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.config import CommandChannel, Drive, LinkSettings, Sensor, StateChannel

WARNING_SHARE = 0.8
"""Share of the bit rate above which a bus has no reserve."""
CAN_BITRATE = 1_000_000
"""The fastest that CAN 2.0 has: what a `can:` link without a `[[link]]` section is taken to run at."""


@dataclass(frozen=True)
class Devices:
    """The parts of a robot.toml that decide the load."""

    tier1_hz: int
    commands: tuple[CommandChannel, ...]
    states: tuple[StateChannel, ...]
    drives: tuple[Drive, ...]
    sensors: tuple[Sensor, ...]
    links: tuple[LinkSettings, ...]


def can_frame_bits(size: int) -> int:
    """Return the bits on the wire of one CAN 2.0 data frame with an 11-bit identifier and `size` bytes, 0 to 8."""
    return 8 * size + 47 + (34 + 8 * size - 1) // 4


def serial_frame_bits(size: int) -> int:
    """Return the bits of the same frame on a `serial:` link: COBS byte, identifier, CRC, delimiter; ten bits a byte."""
    return 10 * (size + 6)


@dataclass(frozen=True)
class LinkLoad:
    """The load of one link."""

    url: str
    frames_per_s: float
    bits_per_s: float
    """On a serial line, of the busier direction."""
    bitrate: float
    """0: no limit."""

    @property
    def share(self) -> float:
        """Part of the bit rate that is used; 0 on a link without one."""
        return self.bits_per_s / self.bitrate if self.bitrate > 0 else 0.0

    def __str__(self) -> str:
        """As in "can:can0: 3010 frames/s, 40.6 % of 1000000 bit/s"."""
        begin = f"{self.url}: {self.frames_per_s:.0f} frames/s, "
        if self.bitrate <= 0:
            return f"{begin}{self.bits_per_s:.0f} bit/s on a link without a bit rate"
        return f"{begin}{100 * self.share:.1f} % of {self.bitrate:.0f} bit/s"


@dataclass
class _Direction:
    frames_per_s: float = 0.0
    can_bits_per_s: float = 0.0
    serial_bits_per_s: float = 0.0

    def add(self, size: int, per_s: float) -> None:
        self.frames_per_s += per_s
        self.can_bits_per_s += can_frame_bits(size) * per_s
        self.serial_bits_per_s += serial_frame_bits(size) * per_s


@dataclass
class _Traffic:
    to_devices: _Direction = field(default_factory=_Direction)
    from_devices: _Direction = field(default_factory=_Direction)
    has_sync: bool = False


def _add_cansimple(traffic: _Traffic, devices: Devices, drive: Drive) -> None:
    cycle_hz = devices.tier1_hz
    feedback_hz = drive.feedback_hz or cycle_hz
    kinds = {command.name: command.kind for command in devices.commands}
    traffic.to_devices.add(4 if kinds[drive.channels[0]] == "effort" else 8, cycle_hz)
    traffic.from_devices.add(8, feedback_hz)
    if any(state.drive == drive.name and state.quantity == "effort" for state in devices.states):
        traffic.from_devices.add(8, feedback_hz)
    traffic.from_devices.add(8, 1000 / drive.heartbeat_ms)


def _add_cia402(traffic: _Traffic, devices: Devices, drive: Drive) -> None:
    cycle_hz = devices.tier1_hz
    if not traffic.has_sync:
        traffic.to_devices.add(0, cycle_hz)
    traffic.has_sync = True
    traffic.to_devices.add(6, cycle_hz)  # RPDO1
    traffic.from_devices.add(7, cycle_hz)  # TPDO1
    traffic.from_devices.add(4, cycle_hz)  # TPDO2
    traffic.from_devices.add(1, 1000 / drive.heartbeat_ms)


def _add_sensor(traffic: _Traffic, devices: Devices, sensor: Sensor) -> None:
    rate_hz = sensor.rate_hz or devices.tier1_hz
    if sensor.profile == "distance":
        traffic.from_devices.add(4, rate_hz)
    else:
        traffic.from_devices.add(8, 3 * rate_hz)


def _load(devices: Devices, url: str, traffic: _Traffic) -> LinkLoad:
    to, back = traffic.to_devices, traffic.from_devices
    frames = to.frames_per_s + back.frames_per_s
    can_bits = to.can_bits_per_s + back.can_bits_per_s
    if url.startswith("unix:"):
        return LinkLoad(url, frames, can_bits, 0.0)
    if url.startswith("serial:"):
        bits = max(to.serial_bits_per_s, back.serial_bits_per_s)
        return LinkLoad(url, frames, bits, float(url.rpartition("=")[2]))
    described = {link.url: link.bitrate for link in devices.links}
    bitrate = described.get(url, 0 if url.startswith("can:vcan") else CAN_BITRATE)
    return LinkLoad(url, frames, can_bits, float(bitrate))


def bus_loads(devices: Devices) -> list[LinkLoad]:
    """Return the load of each link, in the order in which drives and sensors first name them."""
    links: dict[str, _Traffic] = {}
    for drive in devices.drives:
        add = _add_cia402 if drive.profile == "cia402" else _add_cansimple
        add(links.setdefault(drive.link, _Traffic()), devices, drive)
    for sensor in devices.sensors:
        _add_sensor(links.setdefault(sensor.link, _Traffic()), devices, sensor)
    return [_load(devices, url, traffic) for url, traffic in links.items()]
