"""The files in a partition of a disk image, with everything that two builds can differ in.

ext4 is read by debugfs and FAT by mtools: neither needs root, a loop device or a mount. A file system that is not in
`READERS` is compared byte by byte only.
"""

from __future__ import annotations

import hashlib
import os
import re
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

_STAT_BLOCK = re.compile(r"^debugfs: stat (?=\")", re.MULTILINE)
_STAT = {
    "device": re.compile(r"^Device major/minor number: (\S+)", re.MULTILINE),
    "mode": re.compile(r"Mode:\s+(\S+)"),
    "owner": re.compile(r"^User:\s+(\d+\s+Group:\s+\d+)", re.MULTILINE),
    "extended attributes": re.compile(r"^Extended attributes:\n((?:  .*\n)+)", re.MULTILINE),
    "hard links": re.compile(r"^Links: (\d+)", re.MULTILINE),
    MODIFICATION_TIME: re.compile(r"^ mtime: 0x(\w+:\w+)", re.MULTILINE),
}


def read_ext4(image: Path, partition: Partition, folder: Path) -> Files:
    """Return the files of an ext4 partition; `folder` is empty and takes a copy of them.

    Device nodes, sockets and pipes are left out.

    Raises:
        HostError: debugfs is not installed.
        ImageFileError: it is no whole ext4.
    """
    disk = _linked(image, folder)
    place = f"{disk}?offset={partition.offset_bytes}"
    tree = folder / "tree"
    tree.mkdir()
    _debugfs(image, "-R", f"rdump / {_quoted(str(tree))}", place)
    files = _contents(tree)
    asked = folder / "asked"
    asked.write_bytes(b"".join(os.fsencode(f"stat {_quoted(path)}\n") for path in files))
    answers = _STAT_BLOCK.split(_debugfs(image, "-f", str(asked), place))[1:]
    for attributes, answer in zip(files.values(), answers, strict=True):
        attributes.update(_stat_attributes(answer))
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


READERS: dict[str, Callable[[Path, Partition, Path], Files]] = {"ext4": read_ext4, "vfat": read_fat}


def ext4_header(image: Path, partition: Partition, folder: Path) -> Attributes:
    """Return what the superblock of an ext4 partition says: UUID, hash seed, times, counters.

    Raises:
        HostError: dumpe2fs is not installed.
        ImageFileError: it is no ext4.
    """
    ran = run_tool("dumpe2fs", "e2fsprogs", "-h", f"{_linked(image, folder)}?offset={partition.offset_bytes}")
    require_success(ran, f"{image}: ext4")
    fields = (line.partition(":") for line in ran.stdout.decode(errors="replace").splitlines())
    return {name.strip(): value.strip() for name, _, value in fields}


def _debugfs(image: Path, *arguments: str) -> str:
    ran = run_tool("debugfs", "e2fsprogs", *arguments)
    # It ends with 0 whatever happens. Without root it cannot give the copies away, which nobody asks for.
    said = [
        line
        for line in ran.stderr.decode(errors="replace").splitlines()
        if line and not re.match(r"debugfs \d|.*changing ownership", line)
    ]
    if ran.returncode != 0 or said:
        raise ImageFileError(f"{image}: ext4 cannot be read: {' '.join(said)}")
    return os.fsdecode(ran.stdout)


def _linked(image: Path, folder: Path) -> Path:
    """Return a name for the image that means nothing to the tools, which take `?` and `@@` in one for more."""
    link = folder / "disk"
    link.symlink_to(image.absolute())
    return link


def _contents(tree: Path) -> Files:
    files: Files = {}
    for place, folders, names in os.walk(tree):
        for name in [".", *folders, *names] if place == str(tree) else [*folders, *names]:
            path = Path(place) / name
            files[f"/{path.relative_to(tree)}" if name != "." else "/"] = _content(path)
    return dict(sorted(files.items()))


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


def _stat_attributes(answer: str) -> Attributes:
    found = {name: match[1] if (match := wanted.search(answer)) else "" for name, wanted in _STAT.items()}
    found["owner"] = ":".join(re.findall(r"\d+", found["owner"]))
    found["extended attributes"] = " ".join(found["extended attributes"].split())
    seconds, _, more = found[MODIFICATION_TIME].partition(":")
    # ext4: the lower two bits of the second word extend the seconds, the others are nanoseconds.
    extra = int(more, 16)
    found[MODIFICATION_TIME] = _time((int(seconds, 16) + ((extra & 3) << 32)) * 10**9 + (extra >> 2))
    return found


def _time(nanoseconds: int) -> str:
    whole = datetime.fromtimestamp(nanoseconds // 10**9, UTC)
    return f"{whole:%Y-%m-%d %H:%M:%S}.{nanoseconds % 10**9:09d}"


def _quoted(path: str) -> str:
    escaped = path.replace('"', '""')
    return f'"{escaped}"'
