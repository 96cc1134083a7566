"""A robot that gets new versions of its image, and the folders that it gets them from."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast_bench.facade import Shell
from holdfast_bench.robot import PYTHON
from holdfast_bench.vm_session import HOST_FROM_INSIDE
from holdfast_image.guest.install import LIST
from holdfast_image.guest.version_files import VersionFile
from holdfast_image.payload import sha256_of

SUPERBLOCK = 1024 + 64
"""A byte of the root file system that is read at every boot."""
FOLDER = "/var/tmp/update"  # noqa: S108 - the robot's, where an update is put
_FETCH = f"{PYTHON} -c 'import sys, urllib.request; urllib.request.urlretrieve(*sys.argv[1:])'"
_FLIP = (
    'import sys; file = open(sys.argv[1], "r+b", 0); place = int(sys.argv[2]); file.seek(place); '
    "byte = file.read(1)[0]; file.seek(place); file.write(bytes([byte ^ 1]))"
)
_SYSTEM_FILES = 'cd "$(bootctl --print-esp-path)" && find . -type f -exec sha256sum {} +'
_LIMIT_S = 900.0


@dataclass
class Updated:
    """The robot behind a shell; only a virtual machine can fetch from this workstation."""

    shell: Shell

    def status(self) -> dict[str, Any]:
        """Return what `holdfast os status` says."""
        return dict(json.loads(self.shell.run("holdfast os status --json", limit_s=_LIMIT_S).stdout))

    def running(self) -> str:
        """Return the version that runs."""
        return running_of(self.status())

    def settled(self) -> bool:
        """Tell whether the version that runs has proved itself, now or earlier; not while it starts."""
        done = self.shell.run("holdfast os status --json", check=False, limit_s=_LIMIT_S)
        if done.returncode != 0:
            return False
        return any(
            found["running"] and found["tries_left"] is None for found in json.loads(done.stdout)["versions"]
        )

    def started(self) -> bool:
        """Tell whether the initrd's count of starts without an end is gone; the first start has none."""
        return self.shell.run("test ! -e /var/lib/holdfast/os/unfinished", check=False).returncode == 0

    def boot_id(self) -> str:
        """Return the id of this boot; empty while it starts."""
        return self.shell.run("cat /proc/sys/kernel/random/boot_id", check=False).stdout.strip()

    def system_files(self) -> dict[str, str]:
        """Return the SHA-256 of each file in the EFI system partition by its path, as the robot sees it."""
        told = self.shell.run(_SYSTEM_FILES, limit_s=_LIMIT_S).stdout
        return {
            path.removeprefix("./"): digest
            for digest, path in (line.split("  ", 1) for line in told.splitlines())
        }

    def kernels_of(self, version: str) -> list[str]:
        """Return the SHA-256 of each unified kernel image that boots a version: one, where all is well."""
        named = ((VersionFile.of(Path(path)), digest) for path, digest in self.system_files().items())
        return [digest for file, digest in named if file is not None and file.version == version]

    def fetch(self, folder: Path) -> None:
        """Copy a version to the robot's disk; over ssh an emulated one would take minutes to decrypt it."""
        files = " ".join(file.name for file in folder.iterdir())
        with _served(folder) as url:
            self.shell.run(
                f"rm -rf {FOLDER} && mkdir {FOLDER} && cd {FOLDER} && "
                f"for file in {files}; do {_FETCH} {url}/$file $file; done && sync",
                limit_s=_LIMIT_S,
            )

    def install_from(self, folder: Path) -> dict[str, Any]:
        """Let the robot fetch a version from this workstation and install it; the answer may be a refusal."""
        with _served(folder) as url:
            command = f"holdfast os install {url} --sha256 {sha256_of(folder / LIST)} --json"
            done = self.shell.run(command, check=False, limit_s=2 * _LIMIT_S)
        return dict(json.loads(done.stdout))

    def install(self) -> dict[str, Any]:
        """Install what was fetched; the answer may be a refusal."""
        done = self.shell.run(f"holdfast os install {FOLDER} --json", check=False, limit_s=_LIMIT_S)
        return dict(json.loads(done.stdout))

    def flip(self, device: str, place: int) -> None:
        """Flip one bit of a drive."""
        self.shell.run(f"{PYTHON} -c '{_FLIP}' {device} {place}")


def running_of(status: dict[str, Any]) -> str:
    """Return the version that runs by what `holdfast os status` says."""
    return str(next(found["version"] for found in status["versions"] if found["running"]))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing of each file."""


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://{HOST_FROM_INSIDE}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def as_version(build: Path, target: Path, built: str, version: str, flip: bool = False) -> None:
    """Lay out the build `built` under another version, with one bit of its root flipped or none."""
    target.mkdir(parents=True)
    told = json.loads((build / LIST).read_text())
    sums = {}
    for name in told["sha256"]:
        file = target / name.replace(f"_{built}.", f"_{version}.")
        if flip and ".root." in name:
            shutil.copyfile(build / name, file)
            with file.open("r+b") as stream:
                stream.seek(SUPERBLOCK)
                byte = stream.read(1)[0]
                stream.seek(-1, os.SEEK_CUR)
                stream.write(bytes([byte ^ 1]))
        else:
            os.link(build / name, file)
        with file.open("rb") as stream:
            sums[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    (target / LIST).write_text(json.dumps(told | {"version": version, "sha256": sums}))


def next_version(version: str, steps: int = 1) -> str:
    """Return the version so many steps after this one."""
    major, minor, patch = map(int, version.split("."))
    return f"{major}.{minor}.{patch + steps}"
