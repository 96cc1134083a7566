"""The versions in the EFI system partition: one unified kernel image each in EFI/Linux.

holdfast_1.2.0.efi      has proved itself, or whoever boots it keeps its tries elsewhere
holdfast_1.2.0+3.efi    has three tries left; `+1-2` one after two, `+0-3` none
holdfast_1.2.0.damaged  was withdrawn by the initrd: a block of its slot is not what was built
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from holdfast_image.errors import UsageError
from holdfast_image.guest.firstboot import rename_durably

_NAME = re.compile(r"holdfast_(?P<version>[0-9.]+[0-9])(\+(?P<left>\d+)(-(?P<done>\d+))?)?\.efi")
_DAMAGED = re.compile(r"holdfast_(?P<version>[0-9.]+[0-9])\.damaged")


@dataclass(frozen=True)
class Installed:
    """A version that can be booted."""

    version: str
    running: bool
    tries_left: int | None = None
    """None: it has proved itself, or was installed by hand."""

    @property
    def exhausted(self) -> bool:
        """Whether it was tried as often as it may be, or was marked bad."""
        return self.tries_left == 0


@dataclass(frozen=True)
class VersionFile:
    """A unified kernel image and what its name tells."""

    path: Path
    version: str
    left: int | None
    done: int

    @classmethod
    def of(cls, path: Path) -> VersionFile | None:
        """Return what the name of a file tells; None if it is not the name of a version."""
        name = _NAME.fullmatch(path.name)
        if name is None:
            return None
        left = int(name["left"]) if name["left"] else None
        return cls(path, name["version"], left, int(name["done"] or 0))


class VersionFiles:
    """The folder of them, and what every boot loader does with it."""

    def __init__(self, esp: Path) -> None:
        """Look into the EFI system partition at `esp`."""
        self.folder = esp / "EFI/Linux"

    def all(self) -> list[VersionFile]:
        """Return the versions in the order of their files' names; a file with nothing in it starts none."""
        return [found for found in self._named() if found.path.stat().st_size]

    def damaged(self) -> list[str]:
        """Return the versions whose unified kernel image the initrd has renamed (usr/lib/holdfast/slot)."""
        return sorted(
            name["version"] for file in self.folder.iterdir() if (name := _DAMAGED.fullmatch(file.name))
        )

    def forget_damaged(self, version: str) -> None:
        """Remove that file."""
        (self.folder / f"holdfast_{version}.damaged").unlink()
        os.sync()

    def forget_installed(self, version: str) -> None:
        """Remove the unified kernel image of a version that does not run.

        One that an installation which was cut off has left is empty, and systemd-sysupdate takes it for installed.
        """
        for found in self._named():
            if found.version == version:
                found.path.unlink()
        os.sync()  # before its clusters are written to: a file that is still named must be whole

    def mark_bad(self, version: str) -> None:
        """Leave a version no tries: no boot loader starts a file of that name while there is another.

        Raises:
            UsageError: it is not installed.
        """
        for found in self.all():
            if found.version == version:
                rename_durably(found.path, self.folder / f"holdfast_{version}+0-{found.done}.efi")
                return
        raise UsageError(f"version {version} is not installed; `holdfast os status` lists those that are")

    def _named(self) -> list[VersionFile]:
        files = sorted(self.folder.glob("*.efi"))
        return [version for file in files if (version := VersionFile.of(file)) is not None]
