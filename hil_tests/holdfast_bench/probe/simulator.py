"""A probe without a board: the firmware's own core on a pseudo-terminal.

`python -m holdfast_bench.probe.simulator` prints {"port": "/dev/pts/N"} and serves a driver there. Requests on its
standard input, one JSON object a line, each answered by one on its standard output, change the world around it:

{"op": "advance", "ms": 5, "stalled": false}      move a manual clock (stalled: the firmware does not run meanwhile)
{"op": "drive", "name": "loop_pin", "level": 1}   an input changes
{"op": "toggle", "name": "loop_pin", "times": 9, "period_us": 500}
{"op": "wire", "source": "estop_in", "target": "enable_out", "delay_us": 800, "inverted": false}
{"op": "disturb", "how": "drop", "kind": "!", "lines": 1}   see `disturbance`
{"op": "send", "hex": "0aff"}                     bytes that no probe would send
{"op": "deaf", "on": true}                        what the host sends is lost
{"op": "stuck", "on": true}                       the capture stamps nothing any more
{"op": "restart"}                                 as after a cut of its supply
{"op": "state"}                                   levels, clock, bytes received

It ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import secrets
import selectors
import sys
import time
import tty
from collections.abc import Callable
from typing import Any

import click

from holdfast_bench.probe import protocol
from holdfast_bench.probe.disturbance import Disturbances
from holdfast_bench.probe.firmware import table
from holdfast_bench.probe.firmware.core import Core
from holdfast_bench.probe.simulated_board import NS_PER_MS, SimulatedBoard, Wire

_LOOP_NS = 50 * NS_PER_MS
"""Between two rounds of the firmware's loop when nothing else happens."""
_BACKLOG = 4096
"""Bytes that a host which does not read leaves in the line, as in a USB buffer."""


class Simulator:
    """The probe, its line to the host and its clock.

    Args:
        make_core: starts the firmware on a board.
        ring: stamps the board holds.
        counter: first value of its counter.
        manual: its clock stands still but for the request `advance`.
    """

    def __init__(
        self, make_core: Callable[[SimulatedBoard], Core], ring: int, counter: int, manual: bool
    ) -> None:
        self._make_core = make_core
        self._ring = ring
        self._counter = counter
        self._manual = manual
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self._outgoing = bytearray()
        self._disturbances = Disturbances()
        self._deaf = False
        self._received = 0
        self._board = SimulatedBoard(self._send, ring, counter, self._clock_ns())
        self._core = make_core(self._board)

    @property
    def port(self) -> str:
        """Name of the pseudo-terminal."""
        return os.ttyname(self._slave)

    def serve(self, control: int) -> None:
        """Run until the descriptor with the requests comes to its end."""
        requests = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._master, selectors.EVENT_READ)
            selector.register(control, selectors.EVENT_READ)
            while True:
                self._round(b"")
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)
                selector.modify(self._master, events)
                ready = {key.fd for key, _ in selector.select(None if self._manual else _LOOP_NS / 1e9)}
                if self._master in ready:
                    self._round(self._read())
                if control in ready:
                    data = os.read(control, 65536)
                    if not data:
                        return
                    *lines, requests = (requests + data).split(b"\n")
                    for line in lines:
                        print(json.dumps(self._do(json.loads(line))), flush=True)

    def _round(self, data: bytes) -> None:
        if not self._manual:
            self._board.advance(self._clock_ns())
        if data and not self._deaf:
            self._received += len(data)
            self._core.receive(data)
        self._core.poll()
        self._push()

    def _do(self, request: dict[str, Any]) -> dict[str, Any]:
        operation = request.pop("op")
        action = getattr(self, f"_do_{operation}", None)
        if action is None:
            return {"ok": False, "error": f"{operation}: no such request"}
        try:
            return {"ok": True, **(action(**request) or {})}
        except (TypeError, KeyError, ValueError) as error:
            return {"ok": False, "error": f"{operation}: {error}"}

    def _do_advance(self, ms: float, stalled: bool = False) -> None:
        end_ns = self._board.now_ns + round(ms * NS_PER_MS)
        while self._board.now_ns < end_ns:
            self._board.advance(end_ns if stalled else min(end_ns, self._board.now_ns + _LOOP_NS))
            self._core.poll()
            self._push()

    def _do_drive(self, name: str, level: int) -> None:
        self._board.drive(name, level)

    def _do_toggle(self, name: str, times: int, period_us: int) -> None:
        level = self._board.get(name)
        for edge in range(1, times + 1):
            level ^= 1
            self._board.schedule(name, level, edge * period_us * 1000)

    def _do_wire(self, source: str, target: str, delay_us: int, inverted: bool = False) -> None:
        self._board.wires.append(Wire(source, target, delay_us * 1000, inverted))

    def _do_disturb(self, how: str, kind: str, lines: int) -> None:
        self._disturbances.add(how, kind, lines)

    def _do_send(self, hex: str) -> None:  # noqa: A002 - the request's own key
        self._outgoing += bytes.fromhex(hex)
        self._push()

    def _do_deaf(self, on: bool) -> None:
        self._deaf = on

    def _do_stuck(self, on: bool) -> None:
        self._board.stuck = on

    def _do_restart(self) -> None:
        wires, now_ns = self._board.wires, self._board.now_ns
        self._board = SimulatedBoard(self._send, self._ring, self._counter, now_ns)
        self._board.wires = wires
        self._core = self._make_core(self._board)
        self._core.poll()
        self._push()

    def _do_state(self) -> dict[str, Any]:
        levels = {name: self._board.get(name) for name in table.OUTPUTS + table.INPUTS}
        return {"levels": levels, "clock_ns": self._board.now_ns, "received": self._received}

    def _send(self, line: bytes) -> bool:
        if len(self._outgoing) + len(line) > _BACKLOG:
            return False
        self._outgoing += self._disturbances.apply(line)
        self._push()
        return True

    def _push(self) -> None:
        while self._outgoing:
            try:
                sent = os.write(self._master, self._outgoing)
            except BlockingIOError:
                return
            del self._outgoing[:sent]

    def _read(self) -> bytes:
        try:
            return os.read(self._master, 4096)
        except BlockingIOError:
            return b""

    def _clock_ns(self) -> int:
        return 0 if self._manual else time.monotonic_ns()


@click.command()
@click.option("--clock", type=click.Choice(["real", "manual"]), default="real", show_default=True)
@click.option("--wire", "wires", multiple=True, metavar="FROM:TO:MICROSECONDS", help="A robot's reaction.")
@click.option("--ring", default=1024, show_default=True, help="Time stamps held before it overflows.")
@click.option("--counter", default=0, show_default=True, help="First value of the time stamps' counter.")
@click.option("--protocol", "protocol_", default=table.PROTOCOL, help="Say so instead.")
@click.option("--version", default=table.VERSION, help="Say so instead.")
@click.option("--hash", "digest", default=protocol.expected_hash, help="Say so instead.")
def main(
    clock: str, wires: tuple[str, ...], ring: int, counter: int, protocol_: int, version: str, digest: str
) -> None:
    """Serve a simulated probe on a pseudo-terminal; requests of its world on standard input.

    Example: python -m holdfast_bench.probe.simulator --wire estop_in:enable_out:800
    """

    def make_core(board: SimulatedBoard) -> Core:
        return Core(board, secrets.token_hex(4), digest, version, protocol_)

    simulator = Simulator(make_core, ring, counter, clock == "manual")
    for wire in wires:
        source, target, delay_us = wire.split(":")
        simulator._do_wire(source, target, int(delay_us))
    print(json.dumps({"port": simulator.port}), flush=True)
    simulator.serve(sys.stdin.fileno())


if __name__ == "__main__":
    main()
