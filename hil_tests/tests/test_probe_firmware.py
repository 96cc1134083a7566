"""The probe's firmware without a line or a process: its lines, its rules for requests, its identity."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast_bench.probe import protocol
from holdfast_bench.probe.firmware import identity, table, wire
from holdfast_bench.probe.firmware.core import Core
from holdfast_bench.probe.protocol import Answer, Event
from holdfast_bench.probe.simulated_board import NS_PER_MS, SimulatedBoard

BOOT = "0badcafe"
FIELD = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)


class Firmware:
    """The core on a simulated board, with what it said."""

    def __init__(self, ring: int = 64) -> None:
        self.sent: list[bytes] = []
        self.reads = True
        self.board = SimulatedBoard(self._take, ring)
        self.core = Core(self.board, BOOT, "0" * 64)
        self.core.poll()

    def ask(self, line: bytes) -> list[Answer | Event]:
        """Send bytes; return what comes of them."""
        self.sent.clear()
        self.core.receive(line)
        self.core.poll()
        return [protocol.parse(sent[:-1]) for sent in self.sent]

    def _take(self, line: bytes) -> bool:
        if self.reads:
            self.sent.append(line)
        return self.reads


@pytest.fixture
def firmware() -> Firmware:
    firmware = Firmware()
    firmware.ask(protocol.request_line(7, "hello"))
    return firmware


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        (("123456789",), b"123456789*cbf43926\n"),  # the check value that every description of this CRC gives
        (("=", "1", "ok"), b"= 1 ok*80388c48\n"),
        (("!", "0", "edge", "268435455", "15"), b"! 0 edge 268435455 15*6b3f0730\n"),
    ],
)
def test_lines_are_these_bytes(fields: tuple[str, ...], line: bytes) -> None:
    assert wire.encode(*fields) == line
    assert wire.decode(line[:-1]) == list(fields)


@given(st.lists(FIELD, min_size=1, max_size=6), st.data())
def test_a_line_is_read_as_written_and_no_changed_byte_is_believed(
    fields: list[str], data: st.DataObject
) -> None:
    line = wire.encode(*fields)[:-1]
    assert wire.decode(line) == fields
    place = data.draw(st.integers(0, len(line) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[place]))
    with pytest.raises(wire.LineError):
        wire.decode(line[:place] + bytes([other]) + line[place + 1 :])


@given(st.binary(max_size=1000), st.lists(st.integers(1, 50), min_size=1))
def test_lines_do_not_depend_on_how_the_bytes_come(data: bytes, sizes: list[int]) -> None:
    whole, pieces = wire.LineBuffer(), wire.LineBuffer()
    lines, rest = [], data
    for size in sizes:
        lines += pieces.feed(rest[:size])
        rest = rest[size:]
    lines += pieces.feed(rest)
    assert lines == whole.feed(data)
    assert all(len(line) <= table.LINE_LIMIT for line in lines)


def test_the_longest_line_is_read_and_a_longer_one_is_not() -> None:
    longest = wire.encode("x" * (table.LINE_LIMIT - 10))
    assert len(longest) == table.LINE_LIMIT
    assert wire.LineBuffer().feed(longest) == [longest[:-1]]
    assert wire.decode(longest[:-1])
    buffer = wire.LineBuffer()
    assert buffer.feed(b"x" * 1000) == [b"x" * table.LINE_LIMIT]
    assert buffer.feed(b"x" * 1000) == []
    assert buffer.feed(b"\n" + longest) == [longest[:-1]]
    with pytest.raises(wire.LineError, match="longer"):
        wire.encode("x" * (table.LINE_LIMIT - 9))
    with pytest.raises(wire.LineError, match="longer"):
        wire.decode(b"x" * table.LINE_LIMIT)


@pytest.mark.parametrize(
    "text", ["", "00", "01", "-1", "+1", " 1", "1_0", "10001", "99999999999", "x", "1.0", "٣"]
)
def test_numbers_are_written_in_one_way(text: str) -> None:
    with pytest.raises(wire.LineError, match="no number from 0 to 10000"):
        wire.number(text, 10_000)
    assert (wire.number("0", 10_000), wire.number("10000", 10_000)) == (0, 10_000)


def test_before_hello_nothing_is_done() -> None:
    firmware = Firmware()
    assert [protocol.parse(line[:-1]) for line in firmware.sent] == [Event(0, "boot", (BOOT,))]
    for command in ("set estop_in 1", "beat", "hello you", "nonsense", "arm loop_pin"):
        assert firmware.ask(wire.encode("8", command)) == [Answer(8, refusal="session")]
    assert firmware.board.get("estop_in") == 0


@pytest.mark.parametrize(
    "line", [b"\n", b"8 beat\n", wire.encode("x", "beat"), wire.encode("70000", "beat"), b"8" * 999 + b"\n"]
)
def test_what_cannot_be_read_is_refused_and_is_no_sign_of_life(firmware: Firmware, line: bytes) -> None:
    firmware.ask(protocol.request_line(8, "set", "estop_in", "1"))
    firmware.board.advance((table.SILENCE_MS - 1) * NS_PER_MS)
    assert firmware.ask(line) == [Answer(None, refusal="line")]
    firmware.board.advance(table.SILENCE_MS * NS_PER_MS)
    assert firmware.ask(b"") == [Event(0, "failsafe", ())]
    assert firmware.board.get("estop_in") == 0


@pytest.mark.parametrize(
    ("request_", "refusal"),
    [
        ("8 explode", "command"),
        ("8", "command"),
        ("8 set", "argument"),
        ("8 set estop_in", "argument"),
        ("8 set estop_in 2", "argument"),
        ("8 set estop_in 1 1", "argument"),
        ("8 set loop_pin 1", "argument"),
        ("8 arm estop_in,", "argument"),
        ("8 arm estop_in loop_pin", "argument"),
        ("8 beat now", "argument"),
        ("7 beat extra", None),
        ("9 set estop_in 1", "sequence"),
        ("6 set estop_in 1", "sequence"),
    ],
)
def test_bad_requests_change_nothing(firmware: Firmware, request_: str, refusal: str | None) -> None:
    (answer,) = firmware.ask(wire.encode(*request_.split(" ")))
    assert isinstance(answer, Answer)
    assert answer.refusal == refusal
    assert {name: firmware.board.get(name) for name in table.OUTPUTS} == table.SAFE_LEVELS


def test_a_request_sent_again_is_answered_again_and_not_done_again(firmware: Firmware) -> None:
    assert firmware.ask(protocol.request_line(8, "arm", "loop_pin"))[0] == Answer(8)
    firmware.board.drive("loop_pin", 1)
    assert [
        said for said in firmware.ask(protocol.request_line(8, "arm", "loop_pin")) if said != Answer(8)
    ] == [Event(1, "edge", ("0", "10"))]


def test_silence_makes_all_outputs_safe_and_ends_the_session(firmware: Firmware) -> None:
    firmware.ask(protocol.request_line(8, "set", "power", "0"))
    firmware.board.advance((table.SILENCE_MS - 1) * NS_PER_MS)
    assert firmware.ask(b"") == []
    firmware.board.advance(table.SILENCE_MS * NS_PER_MS)
    assert firmware.ask(b"") == [Event(0, "failsafe", ())]
    assert firmware.board.get("power") == 1
    assert firmware.ask(protocol.request_line(9, "beat")) == [Answer(9, refusal="session")]


def test_a_request_that_comes_after_the_silence_does_not_hide_it(firmware: Firmware) -> None:
    firmware.ask(protocol.request_line(8, "set", "estop_in", "1"))
    firmware.board.advance(table.SILENCE_MS * NS_PER_MS)
    answers = firmware.ask(protocol.request_line(9, "beat"))
    assert answers == [Event(0, "failsafe", ()), Answer(9, refusal="session")]


def test_a_contact_that_opened_by_itself_is_told(firmware: Firmware) -> None:
    firmware.ask(protocol.request_line(8, "set", "estop_in", "1"))
    firmware.board.drive("estop_in", 0)
    assert firmware.ask(b"") == [Event(0, "failsafe", ())]


def test_a_channel_that_is_not_armed_costs_no_events(firmware: Firmware) -> None:
    firmware.ask(protocol.request_line(8, "arm", "enable_out"))
    firmware.board.drive("loop_pin", 1)
    assert firmware.ask(b"") == []
    firmware.board.drive("enable_out", 1)
    assert firmware.ask(b"") == [Event(1, "edge", ("0", "14"))]


def test_request_numbers_begin_again_at_zero(firmware: Firmware) -> None:
    firmware.ask(protocol.request_line(table.REQUEST_MODULUS - 1, "hello"))
    assert firmware.ask(protocol.request_line(0, "beat")) == [Answer(0)]


def test_hello_makes_safe_and_numbers_events_from_zero(firmware: Firmware) -> None:
    firmware.ask(protocol.request_line(8, "set", "estop_in", "1"))
    firmware.ask(protocol.request_line(9, "arm", "loop_pin"))
    firmware.ask(protocol.request_line(20, "hello"))
    assert firmware.board.get("estop_in") == 0
    assert firmware.ask(protocol.request_line(21, "sync")) == [Answer(21, ("events=0",))]


def test_a_host_that_floods_and_never_reads_cannot_fill_the_heap(firmware: Firmware) -> None:
    firmware.reads = False
    for _ in range(1000):
        firmware.core.receive(protocol.request_line(7, "hello")[:-1] + b"?\n")
        firmware.core.poll()
    firmware.reads = True
    assert len(firmware.ask(b"")) == 64


def test_the_clock_of_milliseconds_may_wrap(firmware: Firmware) -> None:
    wrap_ns = (1 << 30) * NS_PER_MS
    firmware.board.advance(wrap_ns - NS_PER_MS)
    firmware.ask(protocol.request_line(30, "hello"))
    firmware.ask(protocol.request_line(31, "set", "estop_in", "1"))
    firmware.board.advance(wrap_ns + (table.SILENCE_MS - 2) * NS_PER_MS)
    assert firmware.ask(b"") == []
    firmware.board.advance(wrap_ns + (table.SILENCE_MS - 1) * NS_PER_MS)
    assert firmware.ask(b"") == [Event(0, "failsafe", ())]


def test_the_hash_covers_names_and_contents_of_python_files(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_bytes(b"two")
    (tmp_path / "a.py").write_bytes(b"one\n")
    (tmp_path / "a.pyc").write_bytes(b"not this")
    assert identity.files_hash(str(tmp_path)) == hashlib.sha256(b"a.py\0004\0one\nb.py\0003\0two").hexdigest()
    (tmp_path / "b.py").rename(tmp_path / "c.py")
    assert identity.files_hash(str(tmp_path)) == hashlib.sha256(b"a.py\0004\0one\nc.py\0003\0two").hexdigest()
