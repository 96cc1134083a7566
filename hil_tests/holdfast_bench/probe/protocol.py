"""Messages between host and probe as types; framing and tables are those of the firmware itself.

A host begins a session with `hello` and numbers its requests from there (mod 65536). A request that is sent again with
its number is answered again and not done again. Between answers the probe sends events, numbered from 0 in each
session: a missing number is a lost event. `firmware.table` lists commands and events, `firmware.wire` describes a line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from holdfast_bench.probe.firmware import identity, table, wire

FIRMWARE = Path(__file__).parent / "firmware"
COUNTER_MODULUS = 1 << table.COUNTER_BITS
_BOOT_DIGITS = 8
_HASH_DIGITS = 64


@dataclass(frozen=True)
class Answer:
    """What a request came to: its fields, or the reason for which it was refused."""

    request: int | None
    """None: the probe could not read the request."""
    fields: tuple[str, ...] = ()
    refusal: str | None = None


@dataclass(frozen=True)
class Event:
    """Something the probe says unasked."""

    number: int
    kind: str
    fields: tuple[str, ...]

    def counter(self) -> int:
        """Return the time stamp of a start, edge or mark, in counts."""
        return wire.number(self.fields[0], COUNTER_MODULUS - 1)

    def levels(self) -> int:
        """Return the levels of a start or edge, bit i that of CHANNELS[i]."""
        return wire.number(self.fields[1], (1 << len(table.CHANNELS)) - 1)


@dataclass(frozen=True)
class Identity:
    """Who answers at a port."""

    protocol: int
    version: str
    boot: str
    """Drawn at each start of the probe: another one is another run."""
    tick_ns: int
    hash: str
    """SHA-256 of the firmware's files, see `firmware.identity`."""


def request_line(request: int, command: str, *arguments: str) -> bytes:
    """Return a request as a line.

    Raises:
        LineError: an argument is empty, or has a character that is no printable ASCII or a space.
    """
    for argument in arguments:
        if not argument or not all("!" <= character <= "~" for character in argument):
            raise wire.LineError(f"no argument of this protocol: {argument!r}")
    return wire.encode(str(request), command, *arguments)


def parse(line: bytes) -> Answer | Event:
    """Return what a line from the probe says.

    Raises:
        LineError: it is damaged, or no message of this protocol.
    """
    fields = wire.decode(line)
    if fields[0] == "=" and len(fields) >= 3:
        return _answer(fields)
    if fields[0] == "!" and len(fields) >= 3:
        return _event(fields)
    raise wire.LineError("neither an answer nor an event")


def _answer(fields: list[str]) -> Answer:
    request = None if fields[1] == "-" else wire.number(fields[1], table.REQUEST_MODULUS - 1)
    if fields[2] == "ok" and request is not None:
        return Answer(request, tuple(fields[3:]))
    if fields[2] == "error" and len(fields) == 4 and fields[3] in table.ERRORS:
        return Answer(request, refusal=fields[3])
    raise wire.LineError("no answer of this protocol")


def _event(fields: list[str]) -> Event:
    event = Event(wire.number(fields[1], table.EVENT_LIMIT), fields[2], tuple(fields[3:]))
    if table.EVENTS.get(event.kind) != len(event.fields):
        raise wire.LineError("no event of this protocol")
    if event.kind in ("start", "edge", "mark"):
        event.counter()
    if event.kind in ("start", "edge"):
        event.levels()
    return event


def values(fields: tuple[str, ...], *names: str) -> dict[str, str]:
    """Return the fields NAME=VALUE of an answer; exactly these names must be there.

    Raises:
        LineError: one is missing, unknown or there twice.
    """
    pairs = [field.partition("=") for field in fields]
    found = {name: value for name, _, value in pairs}
    if len(pairs) != len(names) or found.keys() != set(names):
        raise wire.LineError(f"fields are not {', '.join(names)}")
    return found


def identity_of(fields: tuple[str, ...]) -> Identity:
    """Return the identity in the answer to `hello`.

    Raises:
        LineError: it is not of the protocol's form.
    """
    found = values(fields, "protocol", "version", "boot", "tick_ns", "hash")
    for name, digits in (("boot", _BOOT_DIGITS), ("hash", _HASH_DIGITS)):
        if len(found[name]) != digits or set(found[name]) - set("0123456789abcdef"):
            raise wire.LineError(f"{name} is not of {digits} hexadecimal digits")
    tick_ns = wire.number(found["tick_ns"], 1_000_000)
    if tick_ns == 0:
        raise wire.LineError("tick_ns is 0")
    protocol = wire.number(found["protocol"], table.EVENT_LIMIT)
    return Identity(protocol, found["version"], found["boot"], tick_ns, found["hash"])


def expected_hash() -> str:
    """Return the hash of this tree's firmware."""
    return identity.files_hash(str(FIRMWARE))


def flash_command(port: str) -> str:
    """Return the shell command that puts this tree's firmware on the probe (from the root of the tree)."""
    folder = "hil_tests/holdfast_bench/probe/firmware"
    make = "import os; 'firmware' in os.listdir() or os.mkdir('firmware')"
    return (
        f'mpremote connect {port} exec "{make}" + cp {folder}/*.py :firmware/'
        f" + cp {folder}/main.py :main.py + reset"
    )
