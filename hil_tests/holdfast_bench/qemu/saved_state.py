"""A booted machine on disk, from which others start in seconds: memory, devices and disk of one moment.

`saved/<key>/` in the cache holds disk.qcow2 (an overlay of the image), firmware-variables.fd, ssh-key and its public
half, and memory: QEMU's migration stream. The key is a hash over the image, how the machine is made and what it was
told at power-on. Several machines may run from one state at once; each has overlay, firmware variables and ports of
its own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from holdfast_image.build import Image
from holdfast_image.cache import cache_directory, content_hash, forget_unused, in_use, locked, made_whole

DISK = "disk.qcow2"
FIRMWARE_VARIABLES = "firmware-variables.fd"
MEMORY = "memory"
KEY = "ssh-key"
PARTS = (DISK, FIRMWARE_VARIABLES, MEMORY, KEY, f"{KEY}.pub")
_MADE_BY = tuple(
    Path(__file__).with_name(name) for name in ("disk.py", "machine.py", "process.py", "saved_state.py")
)
_KEPT = 2


@dataclass(frozen=True)
class SavedState:
    """One state; `in_use` keeps it from being removed from the cache."""

    folder: Path

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep it in the cache while the body runs."""
        with in_use(self.folder / DISK):
            yield


def saved_state(
    image: Image,
    accelerator: str,
    credentials: Mapping[str, str],
    make: Callable[[Path], None],
    waiting: Callable[[], None] = lambda: None,
) -> SavedState:
    """Return the state of this image booted with these credentials, made first if the cache has none.

    Args:
        image: what the machine boots.
        accelerator: "kvm" or "tcg"; one cannot go on with what the other saved.
        credentials: what the machine is told at power-on.
        make: boots a machine and has it write `PARTS` into the folder given.
        waiting: called once if somebody else makes a state.
    """
    told = json.dumps(dict(credentials), sort_keys=True)
    key = content_hash(_MADE_BY[0].parent, list(_MADE_BY), image.key, accelerator, told)
    folder = cache_directory() / "saved" / key
    with locked(folder.parent.with_name("saved.lock"), waiting):
        if not folder.is_dir():
            folder.parent.mkdir(exist_ok=True)
            with made_whole(folder) as partial:
                make(partial)
        forget_unused(folder, DISK, _KEPT)
    return SavedState(folder)


def move_parts(machine: Path, target: Path) -> None:
    """Move a switched-off machine's parts out of its folder."""
    for part in PARTS:
        shutil.move(machine / part, target / part)
