"""What a robot remembers of versions and of its boot loader: EFI/holdfast in the EFI system partition.

VERSION.bad   a version that did not work, and why: never to be installed again
counted       the boot loader was seen to count a boot

A factory reset leaves it there with the versions that it is about: one that has proved itself is not counted again, so
what was seen of the boot loader could not be found out anew. Each note is a file of its own, because FAT does not
replace a file in one step.
"""

from __future__ import annotations

import os
from pathlib import Path

from holdfast_image.guest.boot_loader import BootLoader, system_partition
from holdfast_image.guest.firstboot import write_durably

_FOLDER = "EFI/holdfast"
_BAD = ".bad"


class Memory:
    """Written durably, by root only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counted = folder / "counted"

    def bad(self) -> dict[str, str]:
        """Return the bad versions, each with what is known of it."""
        return {
            file.name.removesuffix(_BAD): file.read_text(errors="replace").strip()
            for file in sorted(self._folder.glob(f"*{_BAD}"))
        }

    def remember_bad(self, version: str, why: str) -> None:
        """Never install a version again."""
        self._write(self._folder / f"{version}{_BAD}", why)

    def boot_loader_counts(self) -> bool:
        """Tell whether the boot loader was ever seen to count."""
        return self._counted.is_file()

    def remember_counting(self) -> None:
        """Note that it does."""
        self._write(self._counted, "yes")

    def learn(self, loader: BootLoader) -> None:
        """Remember the versions that have no tries left: they vanish from the boot loader with the next install."""
        for found in loader.installed():
            if found.exhausted and not found.running and found.version not in self.bad():
                self.remember_bad(found.version, "it was tried as often as it may be and never marked good")

    def _write(self, note: Path, text: str) -> None:
        self._folder.mkdir(exist_ok=True)
        if write_durably(note, f"{text}\n", 0o644):
            os.sync()  # the folder too, where it is new


def robot_memory() -> Memory:
    """Return the memory of this robot.

    Raises:
        UsageError: see `system_partition`.
    """
    return Memory(system_partition() / _FOLDER)
