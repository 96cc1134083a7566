"""Puts credentials where systemd-stub finds them: loader/credentials/NAME.cred in the EFI system partition.

The stub, whether firmware or U-Boot started it, hands them to the initrd, and systemd to the units that import them by
name (systemd-stub(7), systemd.system-credentials(7)). What comes this way must be sealed, if only with the empty key:
docs/decisions/0060-first-boot-credentials.md.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from holdfast_image.errors import FlashError, HostError
from holdfast_image.partitions import run_tool

_FOLDERS = ("::/loader", "::/loader/credentials")
_PROGRAMS = {"systemd-creds": "systemd", "mcopy": "mtools"}


def seal(credentials: Mapping[str, str]) -> dict[str, bytes]:
    """Return each credential in the form that systemd takes from the EFI system partition, by name.

    Raises:
        HostError: a program that this or `write_credentials` needs is missing or fails.
    """
    for program, package in _PROGRAMS.items():
        if credentials and shutil.which(program) is None:
            raise HostError(f"{program} is not installed; install the package {package}")
    return {name: _sealed(name, value) for name, value in credentials.items()}


def _sealed(name: str, value: str) -> bytes:
    # The empty key's older name, which every version knows (`null` came with 254).
    command = ["systemd-creds", "encrypt", "--with-key=tpm2-absent", f"--name={name}", "-", "-"]
    ran = subprocess.run(command, input=value.encode(), capture_output=True, check=False)
    if ran.returncode != 0:
        raise HostError(
            f"systemd-creds cannot seal {name}: {ran.stderr.decode(errors='replace').strip()}; "
            "systemd 252 or later is needed"
        )
    return ran.stdout


def write_credentials(disk: Path, esp_offset: int, credentials: Mapping[str, bytes]) -> None:
    """Write sealed credentials into the FAT file system at `esp_offset` bytes of `disk`.

    Raises:
        FlashError: they do not fit, or it is no FAT file system.
    """
    place = f"{disk}@@{esp_offset}"
    with tempfile.TemporaryDirectory(prefix="holdfast-flash-") as folder:
        sources = [Path(folder) / f"{name}.cred" for name in credentials]
        for source, content in zip(sources, credentials.values(), strict=True):
            source.write_bytes(content)
        # It fails where the folder is there already, and so does mcopy below where it could not be made.
        for made in _FOLDERS:
            _mtools("mmd", "-i", place, made)
        copied = _mtools("mcopy", "-o", "-i", place, *map(str, sources), _FOLDERS[-1])
        if copied.returncode != 0:
            raise FlashError(f"the first-boot configuration cannot be written: {_complaint(copied)}")


def compare_credentials(disk: Path, esp_offset: int, credentials: Mapping[str, bytes]) -> None:
    """Read the credentials back and compare them.

    Raises:
        FlashError: the disk does not hold them.
    """
    place = f"{disk}@@{esp_offset}"
    for name, content in credentials.items():
        read = _mtools("mtype", "-i", place, f"{_FOLDERS[-1]}/{name}.cred")
        if read.returncode != 0 or read.stdout != content:
            raise FlashError(f"the first-boot configuration on {disk} differs from what was written: {name}")


def _mtools(*command: str) -> subprocess.CompletedProcess[bytes]:
    program, *arguments = command
    return run_tool(program, "mtools", *arguments)


def _complaint(ran: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(ran.stderr.decode(errors="replace").split())
