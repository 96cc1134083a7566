"""What boots next: one interface to every boot loader.

Which one a board has, its image tells: systemd-boot where firmware is UEFI (systemd_boot.py), else U-Boot (u_boot.py).
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Protocol

from holdfast_image.errors import UsageError
from holdfast_image.guest.systemd_boot import SystemdBoot
from holdfast_image.guest.u_boot import UBoot
from holdfast_image.guest.version_files import Installed

_NAME = Path("/usr/lib/holdfast/boot-loader")


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

    def forget_installed(self, version: str) -> None:
        """Remove what boots a version that does not run, whole or not."""
        ...

    def counts(self) -> bool:
        """Tell whether it has counted this boot: some cannot write what they should, and boot on."""
        ...

    def starts_only_signed(self) -> bool:
        """Tell whether the firmware checks signatures (Secure Boot)."""
        ...

    def begin_trial(self, version: str) -> None:
        """Let the next start try a version that was installed, and count it."""
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
    if _NAME.read_text().strip() == "u-boot":
        return UBoot(running_version(), system_partition())
    return SystemdBoot(running_version(), system_partition())
