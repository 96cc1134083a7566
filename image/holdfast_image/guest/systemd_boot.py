"""systemd-boot: it keeps its counters in the names of the files (Automatic Boot Assessment, UAPI.2).

It takes a try off before it starts a version, and prefers every version that has tries left or has proved itself to one
that has none, then the newest.

Its menu has an entry for a factory reset, which starts a version that has proved itself; the initrd asks which entry
was chosen (usr/lib/holdfast/slot).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from holdfast_image.guest.firstboot import SECTOR_BYTES, rename_durably, replace_sector, write_durably
from holdfast_image.guest.version_files import Installed, VersionFile, VersionFiles

_COUNT_PATH = "LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
_SECURE_BOOT = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
VARIABLES = Path("/sys/firmware/efi/efivars")
RESET_ENTRY = "loader/entries/holdfast-factory-reset.conf"
_RESET = """\
title Factory reset: this robot loses all that it has stored
sort-key zz
efi /EFI/Linux/{}
"""
_CONFIGURATION = "loader/loader.conf"
_SETTINGS = {"timeout": "1", "default": "holdfast_*"}
"""A menu that is not shown starts the entry of a digit that is pressed at power-on; in one that is, Enter does. And
nothing but a version is started by itself."""


class SystemdBoot(VersionFiles):
    """systemd-boot, with its unified kernel images in the EFI system partition `esp`."""

    def __init__(self, running: str, esp: Path, variables: Path = VARIABLES) -> None:
        """Speak for the version `running`; `variables` is where the kernel shows those of the firmware."""
        self._running = running
        super().__init__(esp)
        self._esp = esp
        self._variables = variables

    def installed(self) -> list[Installed]:
        """Return the versions in the EFI system partition."""
        return [Installed(found.version, found.version == self._running, found.left) for found in self.all()]

    def counts(self) -> bool:
        """Tell whether the file that was booted has the name that systemd-boot gave it when it took a try off."""
        variable = self._variables / _COUNT_PATH
        if not variable.is_file():
            return False
        # Four bytes of attributes, then UTF-16 with a zero at its end.
        path = variable.read_bytes()[4:].decode("utf-16-le").rstrip("\0").replace("\\", "/")
        booted = VersionFile.of(self.folder / Path(path).name)
        return booted is not None and booted.done > 0 and booted.path.is_file()

    def starts_only_signed(self) -> bool:
        """Tell whether Secure Boot is on."""
        return secure_boot(self._variables)

    def begin_trial(self, version: str) -> None:
        """Do nothing: systemd-sysupdate has given the file its tries, and the newest is started first."""

    def mark_good(self) -> None:
        """Take the counter off the running version's name."""
        # A boot menu does not show an entry for a file that it does not find: the counter goes last, so that whoever is
        # interrupted does both again.
        self._offer_reset(f"holdfast_{self._running}.efi")
        for found in self.all():
            if found.version == self._running and found.left is not None:
                rename_durably(found.path, self.folder / f"holdfast_{self._running}.efi")

    def mark_bad(self, version: str) -> None:
        """Leave a version no tries; raises as `BootLoader.mark_bad`."""
        super().mark_bad(version)
        proved = [found for found in self.all() if found.left is None]
        if proved:
            proved.sort(key=lambda found: found.version == self._running)
            self._offer_reset(proved[-1].path.name)

    def _offer_reset(self, image: str) -> None:
        """Let the menu's factory reset start this unified kernel image."""
        entry, configuration = self._esp / RESET_ENTRY, self._esp / _CONFIGURATION
        try:
            lines = configuration.read_text(errors="replace").splitlines() if configuration.is_file() else []
            named = {line.split()[0] for line in lines if line.strip()}
            lines += [f"{name} {value}" for name, value in _SETTINGS.items() if name not in named]
            entry.parent.mkdir(parents=True, exist_ok=True)
            write_durably(configuration, "\n".join([*lines, ""]), 0o644)
            replace_sector(entry, _RESET.format(image).ljust(SECTOR_BYTES, "\n"))
            os.sync()  # the folder too, where it is new
        except OSError as error:
            print(f"<4>the boot menu offers no factory reset: {error}", file=sys.stderr)


def secure_boot(variables: Path = VARIABLES) -> bool:
    """Tell whether the firmware checks signatures; one that cannot has no such variable.

    Known also of a robot whose EFI system partition cannot be had.
    """
    variable = variables / _SECURE_BOOT
    return variable.is_file() and variable.read_bytes()[4:] == b"\x01"
