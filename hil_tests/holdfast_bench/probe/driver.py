"""Driver of the probe, for scenarios: outputs, inputs, and edges in nanoseconds.

A session holds the robot's e-stop contact closed only while the host is heard: after table.SILENCE_MS without a request
it opens. `keep_alive` sends the heartbeats for a limited time; a scenario that hangs for longer stops the robot.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from holdfast_bench.probe import protocol
from holdfast_bench.probe.capture import Capture, Edge
from holdfast_bench.probe.errors import (
    ProbeError,
    ProbeFirmwareError,
    ProbeLossError,
    ProbeRefusedError,
    ProbeRestartedError,
    ProbeSilenceError,
    ProbeTimeoutError,
)
from holdfast_bench.probe.firmware import table, wire
from holdfast_bench.probe.link import Link
from holdfast_bench.probe.protocol import Answer, Event, Identity

_ATTEMPTS = 3
_BEAT_S = table.SILENCE_MS / 4000
_REFUSALS = {
    "line": "could not read it",
    "command": "does not know it",
    "argument": "does not take such an argument",
    "sequence": "expected another request number",
    "session": "has no session",
}


class Probe:
    """A probe in a session. May be used from several threads.

    Open it with `with Probe(port) as probe`. Any ProbeError but ProbeRefusedError ends the session for good.

    Args:
        port: serial port, such as /dev/ttyACM0.
        timeout_s: how long an answer is waited for; a request is sent three times.

    Raises:
        ProbePortError: the port cannot be used.
        ProbeTimeoutError: nothing on it answers as a probe.
        ProbeFirmwareError: its firmware is not that of this tree.
    """

    def __init__(self, port: str, timeout_s: float = 2.0) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.RLock()
        self._request = secrets.randbelow(
            table.REQUEST_MODULUS
        )  # an answer to an earlier host is not taken for ours
        self._identity: Identity | None = None
        self._next_event = 0
        self._armed: tuple[str, ...] = ()
        self._capture: Capture | None = None
        self._failure: ProbeError | None = None
        self.bad_lines = 0
        """Lines so far that were damaged, or answered no request of ours."""
        self._link = Link(port)
        try:
            self._identity = protocol.identity_of(self._ask("hello"))
            self._check(self._identity)
        except wire.LineError as error:
            self._link.close()
            raise ProbeFirmwareError(f"{port}: the probe's identity: {error}; {self._way_out()}") from error
        except BaseException:
            self._link.close()
            raise

    def __enter__(self) -> Probe:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Open the e-stop contact now, as far as the probe is still heard, and give the port back."""
        with self._lock:
            try:
                if self._failure is None:
                    self._ask("hello")
            except ProbeError:
                pass  # silence makes its outputs safe, within table.SILENCE_MS
            finally:
                self._link.close()

    @property
    def identity(self) -> Identity:
        """Who answered."""
        assert self._identity is not None  # noqa: S101 - set by the constructor, or it raised
        return self._identity

    def set(self, output: str) -> None:
        """Set an output of table.OUTPUTS: close the e-stop contact, give power, hold reset."""
        self._ask("set", output, "1")

    def clear(self, output: str) -> None:
        """Clear an output: open the e-stop contact, cut power, release reset."""
        self._ask("set", output, "0")

    def read(self) -> dict[str, bool]:
        """Return the levels of all outputs and inputs by name."""
        names = table.OUTPUTS + table.INPUTS
        levels = self._values(self._ask("get"), *names)
        return {name: levels[name] == "1" for name in names}

    def beat(self) -> None:
        """Tell the probe that the host is alive; any other request does so too."""
        self._ask("beat")

    def arm(self, *channels: str) -> None:
        """Stamp edges of these table.CHANNELS from now on, time 0; ends an earlier capture."""
        with self._lock:
            self._armed, self._capture = channels, None  # what still comes of an earlier capture is not ours
            self._ask("arm", ",".join(channels))

    def collect(self) -> list[Edge]:
        """Return the edges since `arm` or the last call, every one until now.

        Raises:
            ProbeLossError: one is missing, or nothing is armed.
        """
        return self._collect("sync")

    def disarm(self) -> list[Edge]:
        """Return the same as `collect` and end the capture."""
        with self._lock:
            edges = self._collect("disarm")
            self._capture = None
            return edges

    @contextmanager
    def keep_alive(self, limit_s: float) -> Iterator[None]:
        """Send heartbeats in the background, for `limit_s` at most; after that the e-stop contact may open.

        Raises:
            ProbeError: at the end of the block, if a heartbeat failed.
        """
        done = threading.Event()
        failures: list[ProbeError] = []

        def beat() -> None:
            end_s = time.monotonic() + limit_s
            try:
                while time.monotonic() < end_s and not done.wait(_BEAT_S):
                    self.beat()
            except ProbeError as error:
                failures.append(error)

        thread = threading.Thread(target=beat, name="probe-keep-alive", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
        if failures:
            raise failures[0]

    def _collect(self, command: str) -> list[Edge]:
        with self._lock:
            events = self._values(self._ask(command), "events")["events"]
            if events != str(self._next_event):
                raise self._fail(
                    ProbeLossError(
                        f"{self._link.port}: the probe sent {events} events, {self._next_event} arrived;"
                        " edges are missing"
                    )
                )
            if self._capture is None:
                raise ProbeLossError("nothing is armed: call arm() before the edges come")
            return self._capture.edges()

    def _ask(self, command: str, *arguments: str) -> tuple[str, ...]:
        with self._lock:
            if self._failure is not None:
                raise self._failure
            request = (self._request + 1) % table.REQUEST_MODULUS
            try:
                line = protocol.request_line(request, command, *arguments)
            except wire.LineError as error:
                raise ProbeRefusedError(f"{command!r} cannot be sent: {error}") from error
            self._request = request
            try:
                for _ in range(_ATTEMPTS):
                    self._link.write(line, self._timeout_s)
                    answer = self._answer(command)
                    if answer is not None:
                        return self._fields(command, answer)
            except ProbeRefusedError:
                raise
            except ProbeError as error:
                raise self._fail(error) from error.__cause__
            raise self._fail(
                ProbeTimeoutError(
                    f"{self._link.port}: no answer to {command!r} within {_ATTEMPTS} x {self._timeout_s:g} s"
                    f" ({self.bad_lines} unreadable lines); is it a probe, and does its firmware run? {self._way_out()}"
                )
            )

    def _answer(self, command: str) -> Answer | None:
        """Return the answer to the present request; None: it has to be sent again."""
        deadline_s = time.monotonic() + self._timeout_s
        while (line := self._link.read_line(deadline_s)) is not None:
            try:
                message = protocol.parse(line)
            except wire.LineError:
                self.bad_lines += 1
                continue
            if isinstance(message, Event):
                if command != "hello":  # before its answer, events are of an earlier session
                    self._take(message)
            elif message.request == self._request:
                return message
            else:
                self.bad_lines += 1
                if message.request is None:
                    return None
        return None

    def _fields(self, command: str, answer: Answer) -> tuple[str, ...]:
        if command == "hello":
            self._next_event = 0
        if answer.refusal is None:
            return answer.fields
        if answer.refusal == "session":
            raise ProbeRestartedError(
                f"{self._link.port}: the probe knows of no session: it restarted, or its host was silent; open it anew"
            )
        raise ProbeRefusedError(f"{self._link.port}: {command!r}: the probe {_REFUSALS[answer.refusal]}")

    def _take(self, event: Event) -> None:
        if event.kind == "boot":
            raise ProbeRestartedError(
                f"{self._link.port}: the probe restarted (it is run {event.fields[0]} now,"
                f" was {self.identity.boot}); its outputs are safe, open it anew"
            )
        if event.number < self._next_event:
            self.bad_lines += 1  # came twice
            return
        if event.number > self._next_event:
            raise ProbeLossError(
                f"{self._link.port}: events {self._next_event} to {event.number - 1} did not arrive; edges are missing"
            )
        self._next_event += 1
        if event.kind == "failsafe":
            raise ProbeSilenceError(
                f"{self._link.port}: the probe heard nothing for {table.SILENCE_MS} ms and made its outputs safe;"
                " send heartbeats (keep_alive) while the scenario does something else"
            )
        if event.kind == "start":
            self._capture = Capture(self._armed, self.identity.tick_ns, event)
        elif self._capture is not None:
            self._capture.feed(event)

    def _values(self, fields: tuple[str, ...], *names: str) -> dict[str, str]:
        try:
            return protocol.values(fields, *names)
        except wire.LineError as error:
            raise self._fail(ProbeRefusedError(f"{self._link.port}: the probe's answer: {error}")) from error

    def _fail(self, error: ProbeError) -> ProbeError:
        self._failure = error
        return error

    def _check(self, found: Identity) -> None:
        expected = protocol.expected_hash()
        pairs = (
            ("protocol", str(found.protocol), str(table.PROTOCOL)),
            ("version", found.version, table.VERSION),
            ("hash", found.hash, expected),
        )
        for what, is_, wanted in pairs:
            if is_ != wanted:
                raise ProbeFirmwareError(
                    f"{self._link.port}: the probe's firmware has {what} {is_}, this tree's has {wanted};"
                    f" {self._way_out()}"
                )

    def _way_out(self) -> str:
        return f"flash it (docs/bench-probe.md): {protocol.flash_command(self._link.port)}"
