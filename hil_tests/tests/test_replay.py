"""Replaying a log of writes: every moment is seen, and no order of writes that a drive could not leave."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from holdfast_bench.replay import Part, Replay, moments
from holdfast_bench.result import BenchError
from holdfast_bench.write_log import Entry, read_log

SECTOR = 512
PAGE = 4096
FLUSH, DISCARD = 1, 4
MAGIC = 0x6A736677736872
Told = tuple[int, int, int, bytes]
"""First sector, sectors, flags and data, as dm-log-writes has them."""


def write(page: int, letter: bytes, pages: int = 1) -> Told:
    return page * PAGE // SECTOR, pages * PAGE // SECTOR, 0, letter * (pages * PAGE)


FLUSHED: Told = (0, 0, FLUSH, b"")


def log_of(file: Path, *told: Told, count: int | None = None, magic: int = MAGIC, version: int = 1) -> Path:
    """Write a log as Linux documents it."""
    head = struct.pack("<QQQI", magic, version, len(told) if count is None else count, SECTOR)
    body = b"".join(struct.pack("<QQQQ", *entry[:3], 0).ljust(SECTOR, b"\0") + entry[3] for entry in told)
    file.write_bytes(head.ljust(SECTOR, b"\0") + body)
    return file


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    file = tmp_path / "drive.raw"
    file.write_bytes(b"." * (4 * PAGE))
    return file


def seen_on(drive: Path) -> str:
    """Return the first letter of each page."""
    return drive.read_bytes()[::PAGE].decode().replace("\0", "0")


def replayed(
    drive: Path, log: Path, *, orders: int = 0, watched: int = 4 * PAGE, read: int = 4 * PAGE
) -> list[tuple[str, bool]]:
    """Replay a log; writes that begin below `watched` are, those from `read` on are ignored."""
    seen: list[tuple[str, bool]] = []
    changes: list[int] = []
    replay = Replay(drive, log, lambda offset, size: changes.append(offset))
    entries = replay.run(
        lambda offset, size: (
            Part.WATCHED if offset < watched else Part.READ if offset < read else Part.IGNORED
        ),
        lambda number, place, reordered: seen.append((seen_on(drive), reordered)),
        orders,
        seed=1,
    )
    assert entries == len(list(read_log(log)))
    return seen


def test_a_log_is_read_as_it_was_written(tmp_path: Path) -> None:
    log = log_of(tmp_path / "log", write(1, b"a"), FLUSHED, (8, 16, DISCARD, b""))
    assert list(read_log(log)) == [
        Entry(at=512, offset=4096, size=4096, place=1024, flush=False),
        Entry(at=1024 + 4096, offset=0, size=0, place=None, flush=True),
        Entry(at=1536 + 4096, offset=4096, size=8192, place=None, flush=False),
    ]


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ({"count": 2}, "ends in entry 1 of 2"),
        ({"magic": 1}, "is no log of writes"),
        ({"version": 2}, "is no log of writes of version 1"),
    ],
)
def test_a_log_that_is_none_or_not_whole_is_refused(tmp_path: Path, log: dict[str, int], said: str) -> None:
    with pytest.raises(BenchError, match=said):
        list(read_log(log_of(tmp_path / "log", write(0, b"a"), **log)))


@pytest.mark.parametrize("kept", [0, 3, SECTOR, 2 * SECTOR + 1])
def test_a_log_that_was_cut_off_is_refused(tmp_path: Path, kept: int) -> None:
    log = log_of(tmp_path / "log", write(0, b"a"))
    log.write_bytes(log.read_bytes()[:kept])
    with pytest.raises(BenchError, match=r"is no log of writes|ends in"):
        list(read_log(log))


def test_flags_that_nobody_knows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="flags that nobody knows: 0x2"):
        list(read_log(log_of(tmp_path / "log", (0, 1, 2, bytes(SECTOR)))))


def test_every_write_that_is_watched_is_looked_at_in_its_order(tmp_path: Path, drive: Path) -> None:
    log = log_of(tmp_path / "log", write(0, b"a"), write(3, b"x"), FLUSHED, write(0, b"b"), write(1, b"c", 2))
    assert replayed(drive, log, watched=2 * PAGE) == [
        ("a...", False),
        ("b..x", False),
        ("bccx", False),
    ]
    assert seen_on(drive) == "bccx"


def test_what_nobody_reads_is_not_replayed(tmp_path: Path, drive: Path) -> None:
    log = log_of(tmp_path / "log", write(3, b"x"), write(0, b"a"), FLUSHED)
    assert replayed(drive, log, watched=PAGE, read=3 * PAGE) == [("a...", False)]
    assert seen_on(drive) == "a..."


def test_what_is_discarded_is_zeros(tmp_path: Path, drive: Path) -> None:
    log = log_of(tmp_path / "log", (8, 16, DISCARD, b""))
    assert replayed(drive, log) == [(".00.", False)]


def test_what_was_flushed_stays_and_the_rest_may_be_there_in_part(tmp_path: Path, drive: Path) -> None:
    log = log_of(
        *(tmp_path / "log", write(0, b"a"), FLUSHED),
        *(write(1, b"b"), write(2, b"c"), write(1, b"d"), FLUSHED, write(3, b"e")),
    )
    seen = replayed(drive, log, orders=200)
    first = {state for state, reordered in seen[:201] if reordered}
    assert first == {"....", "a..."}
    # The second write to a page is not undone by the first, and none is there before what was flushed.
    second = {state for state, reordered in seen[201:] if reordered}
    assert second == {f"a{middle}{last}." for middle in ".bd" for last in ".c"}
    # What was not flushed at the end is looked at in the order in which it came.
    assert seen[-1] == ("adce", False)
    assert seen_on(drive) == "adce"


def test_only_flushes_behind_what_is_watched_are_reordered(tmp_path: Path, drive: Path) -> None:
    log = log_of(tmp_path / "log", write(3, b"x"), FLUSHED, write(0, b"a"), write(3, b"y"), FLUSHED)
    seen = replayed(drive, log, orders=50, watched=PAGE)
    assert {state for state, reordered in seen if reordered} == {"...x", "...y", "a..x", "a..y"}
    assert len(seen) == 1 + 50


def test_writes_that_overlap_are_undone(tmp_path: Path, drive: Path) -> None:
    log = log_of(
        tmp_path / "log", (0, 1, 0, b"s" * SECTOR), write(0, b"a"), (7, 1, 0, b"t" * SECTOR), FLUSHED
    )
    whole: set[bytes] = set()
    replay = Replay(drive, log, lambda offset, size: None)
    replay.run(lambda *_: Part.WATCHED, lambda *_: whole.add(drive.read_bytes()[:PAGE]), 100, seed=1)
    old, a = b"." * PAGE, b"a" * PAGE
    assert whole == {
        *(old, b"s" * SECTOR + old[SECTOR:], a, a[:-SECTOR] + b"t" * SECTOR),
        *(old[:-SECTOR] + b"t" * SECTOR, b"s" * SECTOR + old[2 * SECTOR :] + b"t" * SECTOR),
    }


def test_the_moments_of_a_log_are_those_at_which_a_replay_looks(tmp_path: Path, drive: Path) -> None:
    told = [
        write(3, b"x"),
        FLUSHED,
        write(0, b"a"),
        write(2, b"r"),
        write(1, b"b"),
        FLUSHED,
        FLUSHED,
        write(0, b"c"),
    ]
    log = log_of(tmp_path / "log", *told)

    def part(offset: int, size: int) -> Part:
        return Part.WATCHED if offset < 2 * PAGE else Part.READ if offset < 3 * PAGE else Part.IGNORED

    looked: list[tuple[int, int, bool]] = []
    Replay(drive, log, lambda *_: None).run(part, lambda *moment: looked.append(moment), 1, seed=1)
    assert list(moments(log, part)) == looked
    assert [(number, reordered) for number, _, reordered in looked] == [
        *((2, False), (4, False), (5, True), (7, False)),
    ]


def test_what_is_written_over_by_the_same_is_no_change(tmp_path: Path, drive: Path) -> None:
    log = log_of(tmp_path / "log", write(0, b"."), write(1, b"a"), FLUSHED)
    seen = replayed(drive, log, orders=50)
    assert {state for state, reordered in seen if reordered} == {"....", ".a.."}
    assert [state for state, reordered in seen if not reordered] == ["....", ".a.."]
