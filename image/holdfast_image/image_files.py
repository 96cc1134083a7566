"""The files in a partition of a disk image, with everything that two builds can differ in.

erofs is read by fsck.erofs and FAT by mtools: neither needs root, a loop device or a mount. A file system that is not
in `READERS` is compared byte by byte only.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from holdfast_image.errors import ImageFileError
from holdfast_image.partitions import Partition, require_success, run_tool

Attributes = dict[str, str]
"""What is known of one file, in the order in which a difference is told: the first one that differs is the reason."""
Files = dict[str, Attributes]
"""Attributes by absolute path inside the image."""
MODIFICATION_TIME = "modification time"
_CHUNK_BYTES = 1 << 22


def read_erofs(image: Path, partition: Partition, folder: Path) -> Files:
    """Return the files of an erofs partition; `folder` is empty and takes a copy of them.

    Device nodes, sockets and pipes are left out, and so are owners: giving files away takes root, and their set-user-id
    bit.

    Raises:
        HostError: fsck.erofs is not installed.
        ImageFileError: it is no whole erofs.
    """
    # Where in a file the file system begins, only versions from 1.8 on can be told.
    copy = folder / "partition"
    _copy(image, partition, copy)
    tree = folder / "tree"
    how = ("--preserve-perms", "--no-preserve-owner")
    ran = run_tool("fsck.erofs", "erofs-utils", f"--extract={tree}", *how, str(copy))
    require_success(ran, f"{image}: erofs")
    if not tree.is_dir():
        raise ImageFileError(f"{image}: erofs cannot be read: it has no root folder")
    copy.unlink()
    stats = {path: (tree / path[1:]).lstat() for path in _paths(tree)}
    files = _contents(tree)
    for path, attributes in files.items():
        found = stats[path]
        attributes["mode"] = f"{stat.S_IMODE(found.st_mode):04o}"
        attributes[MODIFICATION_TIME] = _time(found.st_mtime_ns)
    return files


def read_fat(image: Path, partition: Partition, folder: Path) -> Files:
    """Return the files of a FAT partition; `folder` is empty and takes a copy of them.

    Raises:
        HostError: mtools is not installed.
        ImageFileError: it is no whole FAT.
    """
    disk = _linked(image, folder)
    tree = folder / "tree"
    tree.mkdir()
    place = f"{disk}@@{partition.offset_bytes}"
    ran = run_tool("mcopy", "mtools", "-s", "-n", "-m", "-Q", "-i", place, "::", str(tree))
    require_success(ran, f"{image}: FAT")
    files = _contents(tree)
    for path, attributes in files.items():
        attributes[MODIFICATION_TIME] = _time((tree / path[1:]).lstat().st_mtime_ns)
    return files


READERS: dict[str, Callable[[Path, Partition, Path], Files]] = {"erofs": read_erofs, "vfat": read_fat}


def _copy(image: Path, partition: Partition, target: Path) -> None:
    with image.open("rb") as source, target.open("wb") as sink:
        source.seek(partition.offset_bytes)
        left = partition.size_bytes
        while left and (chunk := source.read(min(left, _CHUNK_BYTES))):
            sink.write(chunk)
            left -= len(chunk)


def _linked(image: Path, folder: Path) -> Path:
    """Return a name for the image that means nothing to mtools, which take `@@` in one for more."""
    link = folder / "disk"
    link.symlink_to(image.absolute())
    return link


def _paths(tree: Path) -> list[str]:
    found = ["/"]
    for place, folders, names in os.walk(tree):
        found += [f"/{(Path(place) / name).relative_to(tree)}" for name in (*folders, *names)]
    return sorted(found)


def _contents(tree: Path) -> Files:
    return {path: _content(tree / path[1:]) for path in _paths(tree)}


def _content(path: Path) -> Attributes:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return {"kind": "symbolic link", "content": "", "target": str(path.readlink())}
    if stat.S_ISDIR(mode):
        return {"kind": "folder", "content": "", "target": ""}
    if not os.access(path, os.R_OK):
        path.chmod(stat.S_IRUSR)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"kind": "file", "content": f"{path.stat().st_size} bytes, sha256 {digest}", "target": ""}


def _time(nanoseconds: int) -> str:
    whole = datetime.fromtimestamp(nanoseconds // 10**9, UTC)
    return f"{whole:%Y-%m-%d %H:%M:%S}.{nanoseconds % 10**9:09d}"
