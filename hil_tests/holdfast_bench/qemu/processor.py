"""Which of this machine's processors a run in virtual time takes for itself."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_processor(locks: Path) -> Iterator[int | None]:
    """Give the number of a processor that no other run in virtual time has, None if all are taken.

    When its guest idles, QEMU passes the clock from one of its threads to another for each timer, thousands of times in
    a second of the guest. Between two processors each pass has to wake one; on one processor it does not.

    The locks lie in the folder `locks`; they end with this process, however it ends.
    """
    locks.mkdir(parents=True, exist_ok=True)
    for number in sorted(os.sched_getaffinity(0)):
        with (locks / f"processor-{number}.lock").open("w") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield number
            return
    yield None
