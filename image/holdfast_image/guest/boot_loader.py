"""What boots next: one interface to every boot loader, and systemd-boot behind it.

systemd-boot keeps its counters in the names of the unified kernel images (Automatic Boot Assessment, UAPI.2):
`holdfast_1.2.0+3.efi` has three tries left, `holdfast_1.2.0+1-2.efi` one after two, `holdfast_1.2.0.efi` has proved
itself. It takes one off before it starts a version, and prefers every version that has tries left or has proved
itself to one that has none, then the newest.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from holdfast_image.errors import UsageError

_NAME = re.compile(r"holdfast_(?P<version>[0-9.]+[0-9])(\+(?P<left>\d+)(-(?P<done>\d+))?)?\.efi")
_DAMAGED = re.compile(r"holdfast_(?P<version>[0-9.]+[0-9])\.damaged")
_COUNT_PATH = "LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
_SECURE_BOOT = "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_VARIABLES = Path("/sys/firmware/efi/efivars")
_BLESS = "/usr/lib/systemd/systemd-bless-boot"


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


class BootLoader(Protocol):
    """A boot loader that counts."""

    def installed(self) -> list[Installed]:
        """Return the versions that can be booted, in the order of their names."""
        ...

    def damaged(self) -> list[str]:
        """Return the versions that the initrd has withdrawn because a block of their slot is not what was built."""
        ...

    def forget_damaged(self, version: str) -> None:
        """Remove what is left of a withdrawn version."""
        ...

    def counts(self) -> bool:
        """Tell whether it has counted this boot: some cannot write what they should, and boot on."""
        ...

    def starts_only_signed(self) -> bool:
        """Tell whether the firmware checks signatures (Secure Boot)."""
        ...

    def mark_good(self) -> None:
        """Take the running version for one that has proved itself."""
        ...

    def mark_bad(self, version: str) -> None:
        """Let another version be preferred to this one from now on.

        Raises:
            UsageError: it is not installed.
        """
        ...


class SystemdBoot:
    """systemd-boot, with its unified kernel images in `esp`, the EFI system partition."""

    def __init__(self, running: str, esp: Path, variables: Path = _VARIABLES) -> None:
        """Speak for the version `running`; `variables` is where the kernel shows those of the firmware."""
        self._running = running
        self._folder = esp / "EFI/Linux"
        self._variable = variables / _COUNT_PATH
        self._variables = variables

    def installed(self) -> list[Installed]:
        """Return the versions in the EFI system partition."""
        return [
            Installed(
                name["version"], name["version"] == self._running, int(name["left"]) if name["left"] else None
            )
            for _, name in self._files()
        ]

    def damaged(self) -> list[str]:
        """Return the versions whose unified kernel image the initrd has renamed (usr/lib/holdfast/slot)."""
        return sorted(
            name["version"] for file in self._folder.iterdir() if (name := _DAMAGED.fullmatch(file.name))
        )

    def forget_damaged(self, version: str) -> None:
        """Remove that file."""
        (self._folder / f"holdfast_{version}.damaged").unlink()
        os.sync()

    def counts(self) -> bool:
        """Tell whether the file that was booted has the name that systemd-boot gave it when it took a try off."""
        if not self._variable.is_file():
            return False
        # Four bytes of attributes, then UTF-16 with a zero at its end.
        path = self._variable.read_bytes()[4:].decode("utf-16-le").rstrip("\0").replace("\\", "/")
        name = _NAME.fullmatch(Path(path).name)
        return name is not None and int(name["done"] or 0) > 0 and (self._folder / Path(path).name).is_file()

    def starts_only_signed(self) -> bool:
        """Tell whether Secure Boot is on."""
        return secure_boot(self._variables)

    def mark_good(self) -> None:
        """Take the counter off the running version's name."""
        subprocess.run([_BLESS, "good"], check=True)

    def mark_bad(self, version: str) -> None:
        """Leave a version no tries.

        Raises:
            UsageError: it is not installed.
        """
        for file, name in self._files():
            if name["version"] == version:
                file.rename(file.with_name(f"holdfast_{version}+0-{name['done'] or 0}.efi"))
                os.sync()
                return
        raise UsageError(f"version {version} is not installed; `holdfast os status` lists those that are")

    def _files(self) -> Iterable[tuple[Path, re.Match[str]]]:
        return [
            (file, name)
            for file in sorted(self._folder.glob("*.efi"))
            if (name := _NAME.fullmatch(file.name))
        ]


def secure_boot(variables: Path = _VARIABLES) -> bool:
    """Tell whether the firmware checks signatures; one that cannot has no such variable."""
    variable = variables / _SECURE_BOOT
    return variable.is_file() and variable.read_bytes()[4:] == b"\x01"


def running_version(os_release: Path = Path("/usr/lib/os-release")) -> str:
    """Return the version of the image that runs.

    Raises:
        UsageError: this is no image.
    """
    found = re.search(r'^IMAGE_VERSION="?([0-9.]+)"?$', os_release.read_text(), re.MULTILINE)
    if found is None:
        raise UsageError(f"{os_release} has no IMAGE_VERSION; run this on a robot")
    return found[1]


def system_partition() -> Path:
    """Return where the EFI system partition is; looking at its files mounts it.

    Raises:
        UsageError: this robot was started without one, or this user is not root.
    """
    asked = subprocess.run(["bootctl", "--print-esp-path"], capture_output=True, text=True, check=False)
    if asked.returncode != 0:
        raise UsageError(f"there is no boot loader that counts tries: {asked.stderr.strip()}")
    return Path(asked.stdout.strip())


def boot_loader() -> BootLoader:
    """Return the boot loader of this robot.

    Raises:
        UsageError: see `system_partition`.
    """
    return SystemdBoot(running_version(), system_partition())
