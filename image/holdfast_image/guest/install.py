"""Installs a version from a folder into the slot that does not run.

The folder is the `update/` of a build. Who puts it on the robot has verified where it comes from, or names the SHA-256
of its list; here it is only compared with that list, so that a copy that was damaged on the way is not installed.

Refused is what could leave the robot without a version to go back to: a boot loader that nobody has seen count, a
trial that is still under way, a version that has failed before, one for another board, an older one, one without a
signature where the firmware wants one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast.errors import RefusedError
from holdfast_image.guest.boot_loader import BootLoader
from holdfast_image.guest.versions import Memory
from holdfast_image.progress import Steps

LIST = "update.json"
VERSION = re.compile(r"\d+(\.\d+){1,3}")
"""It is part of file names and partition labels, which have 36 characters, and versions are compared by systemd."""
_SYSUPDATE = "/usr/lib/systemd/systemd-sysupdate"


@dataclass(frozen=True)
class Update:
    """A version in a folder, as its list tells."""

    folder: Path
    version: str
    board: str
    sha256: dict[str, str]

    @classmethod
    def read(cls, folder: Path) -> Update:
        """Read the list.

        Raises:
            RefusedError: there is none, or it is damaged.
        """
        try:
            told: dict[str, Any] = json.loads((folder / LIST).read_text())
            update = cls(folder, str(told["version"]), str(told["board"]), dict(told["sha256"]))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RefusedError(
                f"there is no {LIST} in {folder}; name the folder `update` of a build"
            ) from error
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise RefusedError(f"{folder / LIST} is damaged ({error}); fetch the version again") from error
        if not VERSION.fullmatch(update.version):
            raise RefusedError(f"{folder / LIST} names the version {update.version!r}; fetch it again")
        return update

    def require_list(self, sha256: str) -> None:
        """Refuse another list than the one with this SHA-256 in hexadecimal digits.

        Raises:
            RefusedError: it is another one.
        """
        found = hashlib.sha256((self.folder / LIST).read_bytes()).hexdigest()
        if found != sha256.lower():
            raise RefusedError(
                f"{LIST} has the SHA-256 {found}, not {sha256}; compare it with `sha256sum update/{LIST}` of the build"
            )

    def compare(self) -> None:
        """Compare every file with the list, and the list with what systemd-sysupdate would find.

        Raises:
            RefusedError: one is missing or another one, or is not in the list.
        """
        for file in sorted(self.folder.glob("holdfast_*")):
            if file.name not in self.sha256:
                raise RefusedError(
                    f"{file} is not in {LIST}, so it is of another version; remove the folder and fetch this one again"
                )
        for name, wanted in self.sha256.items():
            file = self.folder / Path(name).name
            try:
                with file.open("rb") as stream:
                    found = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError as error:
                raise RefusedError(f"{file}: {error.strerror}; fetch the version again") from error
            if found != wanted:
                raise RefusedError(f"{file} is not what {LIST} says; fetch the version again")

    def require_signature(self) -> None:
        """Refuse a kernel that firmware with Secure Boot would not start; whose signature it is, firmware finds out.

        Raises:
            RefusedError: it has none.
        """
        if not is_signed(self.folder / f"holdfast_{self.version}.efi"):
            raise RefusedError(
                f"version {self.version} is not signed, and this robot starts only what is (Secure Boot); sign it with "
                "`holdfast image sign` on the workstation"
            )


def is_signed(program: Path) -> bool:
    """Tell whether an EFI program has a certificate table (PE32+: Microsoft PE format, "Optional Header")."""
    with program.open("rb") as stream:
        head = stream.read(4096)
    try:
        header: int = struct.unpack_from("<I", head, 0x3C)[0]
        size: int = struct.unpack_from("<4xI", head, header + 24 + 112 + 4 * 8)[0]
    except struct.error:
        return False
    return size > 0


def numbers(version: str) -> tuple[int, ...]:
    """Return a version as what it is ordered by."""
    return tuple(map(int, version.split(".")))


def require_installable(update: Update, loader: BootLoader, memory: Memory, board: str) -> None:
    """Refuse what could leave the robot without a version to go back to.

    Raises:
        RefusedError: with the reason.
    """
    if not memory.boot_loader_counts():
        raise RefusedError(
            "nobody has seen this robot's boot loader count its tries, so it might never go back from a version that "
            "does not work; it is noted when a version on trial has become healthy"
        )
    memory.learn(loader)
    running = next((found for found in loader.installed() if found.running), None)
    if running is None or running.tries_left is not None:
        raise RefusedError("the version that runs is on trial itself; wait until it is marked good")
    if update.board != board:
        raise RefusedError(f"version {update.version} is for {update.board}, and this robot is a {board}")
    if (why := memory.bad().get(update.version)) is not None:
        raise RefusedError(f"version {update.version} has failed on this robot: {why}")
    if numbers(update.version) <= numbers(running.version):
        raise RefusedError(
            f"version {update.version} is not newer than {running.version}, which runs; to go back, mark that one bad"
        )


def install(
    folder: Path,
    loader: BootLoader,
    memory: Memory,
    board: str,
    transfer: Callable[[Path, str], None] | None = None,
    free: Callable[[str], None] | None = None,
    steps: Steps | None = None,
) -> str:
    """Install what is in `folder`; returns its version, which the next reboot tries.

    `transfer` and `free` are what writes a version into the slot that does not run, and what makes that slot an empty
    one; by default those of this robot.

    Raises:
        RefusedError: it is not to be installed, or that failed; the running version is as it was.
    """
    steps = steps or Steps()
    update = Update.read(folder)
    require_installable(update, loader, memory, board)
    with steps.step(f"comparing version {update.version} with its list"):
        update.compare()
    if loader.starts_only_signed():
        update.require_signature()
    for damaged in loader.damaged():
        (free or _free)(damaged)
        loader.forget_damaged(damaged)
    loader.forget_installed(update.version)
    with steps.step(f"writing version {update.version} into the slot that does not run"):
        (transfer or _transfer)(update.folder, update.version)
    loader.begin_trial(update.version)
    return update.version


def _transfer(folder: Path, version: str) -> None:
    command = [_SYSUPDATE, f"--transfer-source={folder.resolve()}", "update", version]
    _run(command, f"systemd-sysupdate could not install version {version}")
    os.sync()  # it renames the unified kernel image last, and FAT writes the length of what is renamed later


def _free(version: str) -> None:
    """Label the partitions of a version as empty: systemd-sysupdate takes a slot with its label for good as it is."""
    failed = f"the damaged slot of version {version} could not be freed"
    drive = _run(["bootctl", "--print-root-device", "--print-root-device"], failed).strip()
    listed = json.loads(_run(["lsblk", "--json", "--output=PARTLABEL,PARTN", drive], failed))
    for found in _partitions(listed["blockdevices"]):
        if found["partlabel"] in (f"holdfast_{version}", f"holdfast_{version}_verity"):
            # The drive is in use: the kernel goes on with the table that it knows, where only a label is another one.
            command = ["sfdisk", "--no-reread", "--no-tell-kernel", "--part-label", drive]
            _run([*command, str(found["partn"]), "_empty"], failed)


def _run(command: list[str], failed: str) -> str:
    ran = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        last = " ".join(ran.stderr.split("\n")[-3:]).strip()
        raise RefusedError(f"{failed}: {last}")
    return ran.stdout


def _partitions(devices: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for device in devices:
        yield device
        yield from _partitions(device.get("children", []))
