"""U-Boot, which counts by a script (image/mkosi.profiles/u-boot/boot.cmd): its release in Debian cannot rename files.

EFI/holdfast/versions.env  what it starts, by version: `trial` while it has tries, `good`, and `before` if that cannot
                           be loaded; each with the CRC-32 of its file (`good_crc`), without which it is not checked;
                           written by the running system alone
EFI/holdfast/tries.env     how many tries are left to the version it names; U-Boot writes it before it starts that one,
                           and starts no version on trial if it cannot

Each is one sector, which is written over in place: no cluster changes hands, and power that goes leaves the one content
or the other.
"""

from __future__ import annotations

import zlib
from pathlib import Path

from holdfast_image.errors import UsageError
from holdfast_image.guest.firstboot import SECTOR_BYTES, replace_sector
from holdfast_image.guest.version_files import Installed, VersionFiles

TRIES = 3


def tries_file(version: str, tries: int) -> str:
    """Return the content of tries.env."""
    return f"tries={tries}\ntries_of={version}\n".ljust(SECTOR_BYTES, "\0")


def crc_of(file: Path) -> str:
    """Return the CRC-32 of a file as U-Boot's script compares it: stored big-endian, read as a little-endian word."""
    crc = 0
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            crc = zlib.crc32(block, crc)
    return crc.to_bytes(4, "little").hex()


def versions_file(**versions: str | None) -> str:
    """Return the content of versions.env."""
    lines = (f"{name}={version}\n" for name, version in versions.items() if version is not None)
    return "".join(lines).ljust(SECTOR_BYTES, "\0")


class UBoot(VersionFiles):
    """U-Boot with our script, and its versions in the EFI system partition `esp`."""

    def __init__(self, running: str, esp: Path) -> None:
        """Speak for the version `running`."""
        self._running = running
        super().__init__(esp)
        self._versions_file = esp / "EFI/holdfast/versions.env"
        self._tries_file = esp / "EFI/holdfast/tries.env"

    def installed(self) -> list[Installed]:
        """Return the versions in the EFI system partition; the one on trial with the tries that U-Boot has counted."""
        trial, tries = self._versions().get("trial"), self._tries()
        return [
            Installed(
                found.version,
                found.version == self._running,
                tries if found.version == trial and found.left is None else found.left,
            )
            for found in self.all()
        ]

    def counts(self) -> bool:
        """Tell whether U-Boot has taken a try off the version that runs."""
        return self._versions().get("trial") == self._running and self._tries() < TRIES

    def starts_only_signed(self) -> bool:
        """Tell that it starts anything."""
        return False

    def begin_trial(self, version: str) -> None:
        """Let the next start try a version: first its tries, then its name."""
        replace_sector(self._tries_file, tries_file(version, TRIES))
        self._write({**self._versions(), "trial": version, "trial_crc": self._crc(version)})

    def mark_good(self) -> None:
        """Start the running version from now on, and the one before if it cannot be loaded."""
        versions = self._versions()
        kept = "before" if versions.get("good") == self._running else "good"
        self._write(
            {
                "good": self._running,
                "good_crc": self._crc(self._running),
                "before": versions.get(kept),
                "before_crc": versions.get(f"{kept}_crc"),
            }
        )

    def _crc(self, version: str) -> str | None:
        file = self.folder / f"holdfast_{version}.efi"
        return crc_of(file) if file.is_file() else None

    def _write(self, versions: dict[str, str | None]) -> None:
        replace_sector(self._versions_file, versions_file(**versions))

    def _versions(self) -> dict[str, str]:
        """Return what U-Boot starts.

        Raises:
            UsageError: the file is missing, and what a power cut left of it too.
        """
        partial = self._versions_file.with_name(f"{self._versions_file.name}.partial")
        for file in (self._versions_file, partial):
            if file.is_file() and "good" in (versions := _read(file)):
                return versions
        raise UsageError(
            f"{self._versions_file} is missing: nobody knows what U-Boot starts; flash the drive anew"
        )

    def _tries(self) -> int:
        """Return the tries left to the version on trial; none if U-Boot would find none."""
        told = _read(self._tries_file) if self._tries_file.is_file() else {}
        tries = told.get("tries", "")
        return int(tries) if told.get("tries_of") == self._versions().get("trial") and tries.isdigit() else 0


def _read(file: Path) -> dict[str, str]:
    lines = file.read_bytes().decode(errors="replace").rstrip("\0").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)
