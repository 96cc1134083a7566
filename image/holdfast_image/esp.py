"""Puts files into the EFI system partition, credentials where systemd-stub finds them: loader/credentials/NAME.cred.

The stub, whether firmware or U-Boot started it, hands them to the initrd, and systemd to the units that import them by
name (systemd-stub(7), systemd.system-credentials(7)). What comes this way must be sealed, if only with the empty key:
docs/decisions/0060-first-boot-credentials.md.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from holdfast_image.errors import FlashError, HostError
from holdfast_image.partitions import run_tool

_PROGRAMS = {"systemd-creds": "systemd", "mcopy": "mtools"}


def require_programs() -> None:
    """Refuse before anything is written.

    Raises:
        HostError: a program that `seal` or `write_files` runs is missing.
    """
    for program, package in _PROGRAMS.items():
        if shutil.which(program) is None:
            raise HostError(f"{program} is not installed; install the package {package}")


def seal(credentials: Mapping[str, str]) -> dict[str, bytes]:
    """Return the file of each credential in the form that systemd takes it from there, by its path.

    Raises:
        HostError: systemd-creds fails.
    """
    return {f"loader/credentials/{name}.cred": _sealed(name, value) for name, value in credentials.items()}


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


def write_files(disk: Path, esp_offset: int, files: Mapping[str, bytes]) -> None:
    """Write files, by their paths, into the FAT file system at `esp_offset` bytes of `disk`.

    Raises:
        FlashError: they do not fit, or it is no FAT file system.
    """
    place = f"{disk}@@{esp_offset}"
    folders = {folder for path in files for folder in PurePosixPath(path).parents[:-1]}
    for folder in sorted(folders):
        # It fails where the folder is there already, and so does mcopy below where it could not be made.
        _mtools("mmd", "-i", place, f"::/{folder}")
    with tempfile.TemporaryDirectory(prefix="holdfast-flash-") as staged:
        source = Path(staged) / "file"
        for path, content in files.items():
            source.write_bytes(content)
            copied = _mtools("mcopy", "-o", "-i", place, str(source), f"::/{path}")
            if copied.returncode != 0:
                raise FlashError(f"the first-boot configuration cannot be written: {_complaint(copied)}")


def compare_files(disk: Path, esp_offset: int, files: Mapping[str, bytes]) -> None:
    """Read the files back and compare them.

    Raises:
        FlashError: the disk does not hold them.
    """
    for path, content in files.items():
        try:
            found = read_file(disk, esp_offset, path)
        except FlashError:
            found = None
        if found != content:
            raise FlashError(f"the first-boot configuration on {disk} differs from what was written: {path}")


def list_files(disk: Path, esp_offset: int) -> list[str]:
    """Return the paths of all files in the FAT file system at `esp_offset` bytes of `disk`.

    Raises:
        FlashError: it is no FAT file system, or a folder of it cannot be read.
    """
    listed = _mtools("mdir", "-/", "-b", "-a", "-i", f"{disk}@@{esp_offset}", "::/")
    if listed.returncode != 0:
        raise FlashError(_complaint(listed))
    paths = (line.removeprefix("::/") for line in listed.stdout.decode(errors="replace").splitlines())
    return [path for path in paths if path and not path.endswith("/")]


def read_file(disk: Path, esp_offset: int, path: str) -> bytes:
    """Return what a file there contains.

    Raises:
        FlashError: it is not there, or not all of it can be read.
    """
    read = _mtools("mtype", "-i", f"{disk}@@{esp_offset}", f"::/{path}")
    if read.returncode != 0:
        raise FlashError(_complaint(read))
    return read.stdout


def _mtools(*command: str) -> subprocess.CompletedProcess[bytes]:
    program, *arguments = command
    return run_tool(program, "mtools", *arguments)


def _complaint(ran: subprocess.CompletedProcess[bytes]) -> str:
    return " ".join(ran.stderr.decode(errors="replace").split())
