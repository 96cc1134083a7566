"""A model of one state machine of an RP2040, for the instructions that the probe's programs use.

It runs the very functions of `firmware.pio`: as with MicroPython's assembler, the names in them get their meaning
through the globals of the module. Every instruction takes one cycle; registers have 32 bits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

_ALL = 0xFFFFFFFF
_NAMES = ("pins", "x", "y", "null", "isr", "osr", "noblock", "block", "x_dec", "x_not_y", "not_x")


class Program:
    """Instructions as (name, arguments), with the places of labels and of the wrap."""

    def __init__(self, source: Callable[[], None]) -> None:
        self.code: list[tuple[str, tuple[Any, ...]]] = []
        self.labels: dict[str, int] = {}
        self.wrap_target = 0
        self.wrap = 0
        space = source.__globals__
        before = dict(space)
        space.update({name: name for name in _NAMES}, invert=lambda name: f"~{name}")
        for name in ("mov", "in_", "jmp", "push", "pull", "set"):
            space[name] = self._emitter(name)
        space["label"] = lambda name: self.labels.__setitem__(name, len(self.code))
        space["wrap_target"] = lambda: setattr(self, "wrap_target", len(self.code))
        space["wrap"] = lambda: setattr(self, "wrap", len(self.code) - 1)
        try:
            source()
        finally:
            space.clear()
            space.update(before)

    def _emitter(self, name: str) -> Callable[..., None]:
        return lambda *arguments: self.code.append((name, arguments))


class StateMachine:
    """Runs a program. `pins` are its inputs, `pin` is the output that it sets."""

    def __init__(self, program: Program, receive_depth: int = 8) -> None:
        self.registers = {"x": 0, "y": 0, "isr": 0, "osr": 0}
        self.pins = 0
        self.pin = 0
        self.sent: deque[int] = deque()
        self.received: deque[int] = deque()
        self.dropped = False
        self._program = program
        self._depth = receive_depth
        self._place = 0

    def execute(self, name: str, *arguments: Any) -> None:
        """Do one instruction at once, as a write to the INSTR register does."""
        self._do(name, arguments)

    def step(self) -> None:
        """Run for one cycle."""
        name, arguments = self._program.code[self._place]
        target = self._do(name, arguments)
        if target is not None:
            self._place = target
        elif self._place == self._program.wrap:
            self._place = self._program.wrap_target
        else:
            self._place += 1

    def _do(self, name: str, arguments: tuple[Any, ...]) -> int | None:
        if name == "mov":
            self.registers[arguments[0]] = self._read(arguments[1])
        elif name == "in_":
            source, bits = arguments
            value = self._read(source) & ((1 << bits) - 1)
            self.registers["isr"] = (self.registers["isr"] << bits | value) & _ALL
        elif name == "set":
            self.pin = arguments[1]
        elif name == "push":
            self._push()
        elif name == "pull":
            return self._pull(arguments[0])
        else:
            return self._jump(*arguments)
        return None

    def _read(self, source: str) -> int:
        if source.startswith("~"):
            return ~self._read(source[1:]) & _ALL
        return {"pins": self.pins, "null": 0, **self.registers}[source]

    def _push(self) -> None:
        if len(self.received) < self._depth:
            self.received.append(self.registers["isr"])
        else:
            self.dropped = True
        self.registers["isr"] = 0

    def _pull(self, mode: str) -> int | None:
        if self.sent:
            self.registers["osr"] = self.sent.popleft()
        elif mode == "block":
            return self._place
        else:
            self.registers["osr"] = self.registers["x"]
        return None

    def _jump(self, *arguments: str) -> int | None:
        x = self.registers["x"]
        taken = True
        if arguments[0] == "x_dec":
            taken = x != 0
            self.registers["x"] = (x - 1) & _ALL
        elif arguments[0] == "x_not_y":
            taken = x != self.registers["y"]
        elif arguments[0] == "not_x":
            taken = x == 0
        return self._program.labels[arguments[-1]] if taken else None
