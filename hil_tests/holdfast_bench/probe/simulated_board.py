"""A board without a chip, for the firmware's core: time, levels, wires that react, and the ring of time stamps."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast_bench.probe.firmware import table
from holdfast_bench.probe.firmware.core import Hardware
from holdfast_bench.probe.protocol import COUNTER_MODULUS

NS_PER_MS = 1_000_000
_TICKS_MODULUS = 1 << 30  # of MicroPython's ticks_ms


@dataclass(frozen=True)
class Wire:
    """A robot's reaction: a change of `source` reaches `target` after `delay_ns`."""

    source: str
    target: str
    delay_ns: int
    inverted: bool = False


@dataclass(order=True)
class _Due:
    time_ns: int
    order: int
    target: str = field(compare=False)
    level: int = field(compare=False)


class SimulatedBoard(Hardware):
    """Levels and time stamps as the chip would make them; `advance` moves its clock.

    Args:
        send: takes a line for the host; returns False while it cannot.
        ring: stamps that it holds before it overflows.
        counter: value of the counter at the beginning of time.
        now_ns: beginning of time.
    """

    def __init__(self, send: Callable[[bytes], bool], ring: int, counter: int = 0, now_ns: int = 0) -> None:
        self.wires: list[Wire] = []
        self.stuck = False
        """The capture stamps nothing any more, not even marks."""
        self.now_ns = now_ns
        self._send = send
        self._ring = ring
        self._counter = counter
        self._levels = dict.fromkeys(table.OUTPUTS + table.INPUTS, 0)
        self._hold_until_ns = now_ns
        self._due: list[_Due] = []
        self._order = 0
        self._stamps: deque[tuple[int, int]] = deque()
        self._capturing = False
        self._overflowed = False

    def advance(self, until_ns: int) -> None:
        """Move the clock and let happen what is due on the way, in order of time."""
        while True:
            held = self._levels["estop_in"] and self._hold_until_ns <= until_ns
            next_ns = self._due[0].time_ns if self._due else until_ns + 1
            if held and self._hold_until_ns <= next_ns:
                self.now_ns = max(self.now_ns, self._hold_until_ns)
                self.drive("estop_in", 0)
            elif next_ns <= until_ns:
                due = heapq.heappop(self._due)
                self.now_ns = max(self.now_ns, due.time_ns)
                self.drive(due.target, due.level)
            else:
                break
        self.now_ns = max(self.now_ns, until_ns)

    def schedule(self, target: str, level: int, delay_ns: int) -> None:
        """Let `target` take a level in `delay_ns`."""
        self._order += 1
        heapq.heappush(self._due, _Due(self.now_ns + delay_ns, self._order, target, level))

    def drive(self, name: str, level: int) -> None:
        """Give an output or input a level now; wires carry a change on."""
        if self._levels[name] == level:
            return
        self._levels[name] = level
        if name in table.CHANNELS:
            self._stamp()
        for wire in self.wires:
            if wire.source == name:
                self.schedule(wire.target, level ^ wire.inverted, wire.delay_ns)

    def ticks_ms(self) -> int:
        """Return the clock as MicroPython's ticks_ms does."""
        return self.now_ns // NS_PER_MS % _TICKS_MODULUS

    def ticks_diff(self, later: int, earlier: int) -> int:
        """Return the milliseconds between two values of ticks_ms, less than half a wrap apart."""
        return (later - earlier + _TICKS_MODULUS // 2) % _TICKS_MODULUS - _TICKS_MODULUS // 2

    def set(self, output: str, level: int) -> None:
        """Drive an output; a closed e-stop contact begins to be held."""
        if output == "estop_in" and level:
            self.hold()
        self.drive(output, level)

    def hold(self) -> None:
        """Keep the e-stop contact closed for another SILENCE_MS."""
        self._hold_until_ns = self.now_ns + table.SILENCE_MS * NS_PER_MS

    def get(self, name: str) -> int:
        """Return a level."""
        return self._levels[name]

    def start_capture(self) -> None:
        """Stamp from now on, the present levels first."""
        self._overflowed = False
        self._stamps.clear()
        self._capturing = True
        self._stamp()

    def stop_capture(self) -> None:
        """Stop and forget."""
        self._capturing = False
        self._stamps.clear()

    def mark(self) -> None:
        """Stamp the present levels."""
        self._stamp()

    def take(self) -> tuple[int, int] | None:
        """Return the oldest stamp."""
        return self._stamps.popleft() if self._stamps else None

    def overflowed(self) -> bool:
        """Tell whether the ring was full when a stamp came."""
        return self._overflowed

    def write(self, line: bytes) -> bool:
        """Send a line, if the host takes it."""
        return self._send(line)

    def _stamp(self) -> None:
        if not self._capturing or self.stuck:
            return
        if len(self._stamps) >= self._ring:
            self._overflowed = True
            return
        counter = (self._counter + self.now_ns // table.TICK_NS) % COUNTER_MODULUS
        levels = sum(self._levels[channel] << bit for bit, channel in enumerate(table.CHANNELS))
        self._stamps.append((counter, levels))
