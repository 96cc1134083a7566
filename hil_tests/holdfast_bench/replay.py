"""Replays what a drive was told, and looks at what it would hold if its power had gone at any moment in between.

A drive has done what it was told before the last flush. Of what it was told since, it has done everything up to the
moment of the cut, or any part of it in any order: a drive may keep what it is told in a memory of its own until it is
told to flush. Both are looked at (the model of dm-log-writes and of CrashMonkey).
"""

from __future__ import annotations

import mmap
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from pathlib import Path

from holdfast_bench.write_log import Entry, read_log

_PAGE = 4096
"""What a drive writes at once."""
_SHARES = (0.1, 0.5, 0.9)
_ZEROS = bytes(_PAGE)
Look = Callable[[int, int, bool], None]
"""Called with an entry's number and its place in the log: the drive is as it may be if its power goes right after it;
True: it has done part of what it was told since the last flush."""


class Part(Enum):
    """What of the drive a write concerns."""

    WATCHED = "somebody looks after each write"
    READ = "somebody reads it who looks"
    IGNORED = "nobody reads it: it stays as it was"


def moments(log: Path, part: Callable[[int, int], Part]) -> Iterator[tuple[int, int, bool]]:
    """Return all that `look` is called with where a replay makes one other order of each."""
    watched = False
    for number, entry in enumerate(read_log(log)):
        if entry.flush:
            if watched:
                yield number, entry.at, True
            watched = False
        elif part(entry.offset, entry.size) is Part.WATCHED:
            watched = True
            yield number, entry.at, False


@dataclass
class _Unflushed:
    """The writes since the last flush, page by page, and what was there before."""

    pages: list[tuple[int, bytes]] = field(default_factory=list)
    before: list[tuple[int, bytes]] = field(default_factory=list)
    watched: bool = False


@dataclass
class Replay:
    """The raw file `drive`, as it was when the log began."""

    drive: Path
    log: Path
    written: Callable[[int, int], None]
    """Told of each change, before somebody looks."""

    def run(self, part: Callable[[int, int], Part], look: Look, orders: int, seed: int) -> int:
        """Look at the drive after each write that is watched, and in `orders` states before each flush of some.

        `part` tells what a write of so many bytes at that place concerns. Returns the number of entries; the drive is
        then as it was at the log's end.
        """
        since = _Unflushed()
        number = -1
        with _mapped(self.drive, mmap.ACCESS_WRITE) as drive, _mapped(self.log, mmap.ACCESS_READ) as log:
            for number, entry in enumerate(read_log(self.log)):
                if entry.flush:
                    if since.watched:
                        seen = partial(look, number, entry.at, True)
                        self._reorder(drive, since, seen, orders, f"{seed}-{number}")
                    since = _Unflushed()
                    continue
                concerned = part(entry.offset, entry.size)
                if concerned is Part.IGNORED:
                    continue
                for place, page in _pages(entry, log):
                    before = drive[place : place + len(page)]
                    # Gigabytes of zeros are written over zeros when a file system is made.
                    if before != page:
                        since.before.append((place, before))
                        since.pages.append((place, page))
                        drive[place : place + len(page)] = page
                self.written(entry.offset, entry.size)
                if concerned is Part.WATCHED:
                    since.watched = True
                    look(number, entry.at, False)
        return number + 1

    def _reorder(
        self, drive: mmap.mmap, since: _Unflushed, look: Callable[[], None], orders: int, seed: str
    ) -> None:
        for order in range(orders):
            rng = random.Random(f"{seed}-{order}")  # noqa: S311 - moments, not secrets
            share = rng.choice(_SHARES)
            for place, page in reversed(since.before):
                self._write(drive, place, page)
            for place, page in since.pages:
                if rng.random() < share:
                    self._write(drive, place, page)
            look()
        for place, page in since.pages:
            self._write(drive, place, page)

    def _write(self, drive: mmap.mmap, place: int, page: bytes) -> None:
        drive[place : place + len(page)] = page
        self.written(place, len(page))


def _pages(entry: Entry, log: mmap.mmap) -> Iterator[tuple[int, bytes]]:
    """Return what an entry writes, cut at the pages of the drive: place on it, and content."""
    done = 0
    while done < entry.size:
        size = min(entry.size - done, _PAGE - (entry.offset + done) % _PAGE)
        page = _ZEROS[:size] if entry.place is None else log[entry.place + done : entry.place + done + size]
        yield entry.offset + done, page
        done += size


@contextmanager
def _mapped(file: Path, access: int) -> Iterator[mmap.mmap]:
    mode = "r+b" if access == mmap.ACCESS_WRITE else "rb"
    with file.open(mode) as stream, mmap.mmap(stream.fileno(), 0, access=access) as mapped:
        yield mapped
