"""Compares two builds of the image: artefact by artefact, and the disk image down to the first file that differs.

Equality is decided by the bytes alone. What is said about a difference comes from the file systems inside and, where
their files agree, from the place of the first byte.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from holdfast_image.errors import HostError, ImageFileError, UsageError
from holdfast_image.image_files import MODIFICATION_TIME, READERS, Attributes, Files
from holdfast_image.partitions import Partition, PartitionTable, file_system, read_partitions
from holdfast_image.payload import FOLDER as UPDATE
from holdfast_image.progress import Steps

# What is inside another artefact comes before it, so that the first difference told is nearest to its cause. The
# command line, and with it the unified kernel image, has the hash of the root inside the disk.
_ORDER = ("image.vmlinuz", "image.initrd", "image.raw", "image.cmdline", "image.efi")
# Tells of the build and not of the image: where it was made.
_RECORD = "image.json"
_CHUNK_BYTES = 1 << 22


@dataclass(frozen=True)
class Artefact:
    """One file of both images, with the SHA-256 in each; None where it is missing."""

    name: str
    sha256: tuple[str | None, str | None]

    @property
    def equal(self) -> bool:
        """Whether both have it, the same."""
        return self.sha256[0] == self.sha256[1]


@dataclass(frozen=True)
class Difference:
    """Where two images differ, and in what."""

    artefact: str
    why: str
    partition: str | None = None
    path: str | None = None
    """Inside the partition's file system."""

    def __str__(self) -> str:
        place = [self.artefact]
        if self.partition is not None:
            place.append(f"partition {self.partition}")
        if self.path is not None:
            place.append(self.path)
        return f"{', '.join(place)}: {self.why}"


@dataclass(frozen=True)
class Comparison:
    """Every artefact, and every difference, the first of them nearest to its cause."""

    artefacts: tuple[Artefact, ...]
    differences: tuple[Difference, ...]

    @property
    def equal(self) -> bool:
        """Whether all artefacts are the same."""
        return all(artefact.equal for artefact in self.artefacts)

    def as_json(self) -> dict[str, object]:
        """Return it as `holdfast image verify --json` prints it."""
        return {
            "ok": self.equal,
            "artefacts": [
                {"name": found.name, "equal": found.equal, "sha256": list(found.sha256)}
                for found in self.artefacts
            ],
            "differences": [asdict(found) for found in self.differences],
        }


def compare_images(a: Path, b: Path, steps: Steps) -> Comparison:
    """Compare two folders of `holdfast image build`, or two files.

    Raises:
        UsageError: one is a folder and the other a file, or a folder holds no image.
        HostError: a program that reads file systems is missing, or there is no room for the files in TMPDIR.
        ImageFileError: a file system is damaged.
    """
    pairs = list(_pairs(a, b))
    files = [file for _, *both in pairs for file in both if file.is_file()]
    with steps.transfer("reading both", max(sum(file.stat().st_size for file in files), 1)) as advance:
        artefacts = tuple(
            Artefact(name, (_sha256(first, advance), _sha256(second, advance)))
            for name, first, second in pairs
        )
    differences: list[Difference] = []
    for artefact, (name, first, second) in zip(artefacts, pairs, strict=True):
        if not artefact.equal:
            with steps.step(f"looking for the difference in {name}"):
                differences += _differences(name, first, second)
    return Comparison(artefacts, tuple(differences))


def _pairs(a: Path, b: Path) -> Iterator[tuple[str, Path, Path]]:
    if a.is_dir() != b.is_dir():
        raise UsageError(f"{a} and {b}: name two folders or two files")
    if not a.is_dir():
        yield a.name if a.name == b.name else f"{a.name} and {b.name}", a, b
        return
    found = (file for folder in (a, b) for files in ("image.*", f"{UPDATE}/*") for file in folder.glob(files))
    names = {str(file.relative_to(a if file.is_relative_to(a) else b)) for file in found} - {_RECORD}
    for folder in (a, b):
        if not (folder / "image.raw").is_file():
            raise UsageError(f"there is no image.raw in {folder}; name a folder of `holdfast image build`")
    for name in sorted(names, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)):
        yield name, a / name, b / name


def _sha256(file: Path, advance: Callable[[int], None]) -> str | None:
    if not file.is_file():
        return None
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


def _differences(name: str, a: Path, b: Path) -> list[Difference]:
    for file, why in ((a, "only in the second"), (b, "only in the first")):
        if not file.is_file():
            return [Difference(name, why)]
    tables = read_partitions(a), read_partitions(b)
    if tables[0] is None or tables[1] is None:
        return [Difference(name, _told_by_bytes(a, b))]
    table = _table_difference(tables[0], tables[1])
    found = []
    if len(tables[0].partitions) == len(tables[1].partitions):
        # Backwards: the root comes before its hash tree, and that before the kernel with the root hash.
        for pair in reversed(list(zip(tables[0].partitions, tables[1].partitions, strict=True))):
            found += [
                Difference(name, why, str(pair[0]), path) for path, why in _partition_differences(a, b, *pair)
            ]
    if table:
        found.append(Difference(name, f"partition table: {table}"))
    return found or [Difference(name, f"outside of the partitions: {_told_by_bytes(a, b)}")]


def _table_difference(a: PartitionTable, b: PartitionTable) -> str:
    if a.disk_id != b.disk_id:
        return f"id of the disk {a.disk_id} / {b.disk_id}"
    if len(a.partitions) != len(b.partitions):
        return f"{len(a.partitions)} / {len(b.partitions)} partitions"
    for first, second in zip(a.partitions, b.partitions, strict=True):
        if first != second:
            why = _attribute_difference(first.as_attributes(), second.as_attributes())
            return f"partition {first}, {why[0]}: {why[1]}" if why else ""
    return ""


def _partition_differences(
    a: Path, b: Path, first: Partition, second: Partition
) -> list[tuple[str | None, str]]:
    size = min(first.size_bytes, second.size_bytes)
    where = _first_other_byte(a, b, first.offset_bytes, second.offset_bytes, size)
    if where is None and first.size_bytes == second.size_bytes:
        return []
    kinds = file_system(a, first), file_system(b, second)
    if kinds[0] != kinds[1]:
        return [(None, f"file system {kinds[0] or 'unknown'} / {kinds[1] or 'unknown'}")]
    if kinds[0] in READERS:
        files = [
            _in_folder(READERS[kinds[0]], image, partition) for image, partition in ((a, first), (b, second))
        ]
        if found := file_differences(files[0], files[1]):
            return [(path, why) for path, why in found]
    if where is None:
        return [
            (None, f"{first.size_bytes} / {second.size_bytes} bytes, the shorter one begins the longer one")
        ]
    kind = f"no file of the {kinds[0]} differs" if kinds[0] in READERS else f"{kinds[0] or 'unknown'} content"
    return [(None, f"{kind}; the first other byte is {where} of the partition")]


def _in_folder(read: Callable[[Path, Partition, Path], Files], image: Path, partition: Partition) -> Files:
    try:
        with tempfile.TemporaryDirectory(prefix="holdfast-verify-") as folder:
            return read(image, partition, Path(folder))
    except OSError as error:
        raise HostError(
            f"the files of {image} cannot be read ({error}); they take as much room in {tempfile.gettempdir()} as they "
            "have, so set TMPDIR to a folder with more room"
        ) from error


def file_differences(a: Files, b: Files) -> list[tuple[str, str]]:
    """Return the paths that differ and why, sorted; the times of folders, which follow from their files, last."""
    found = []
    for path in sorted({*a, *b}):
        if path not in a or path not in b:
            found.append((path, "only in the first" if path in a else "only in the second"))
        elif why := _attribute_difference(a[path], b[path]):
            found.append((path, f"{why[0]}: {why[1]}"))
    return sorted(found, key=lambda each: each[1].startswith(MODIFICATION_TIME))


def _attribute_difference(a: Attributes, b: Attributes) -> tuple[str, str] | None:
    for name in dict.fromkeys((*a, *b)):
        if a.get(name) != b.get(name):
            return name, f"{a.get(name) or 'none'} / {b.get(name) or 'none'}"
    return None


def _told_by_bytes(a: Path, b: Path) -> str:
    sizes = a.stat().st_size, b.stat().st_size
    where = _first_other_byte(a, b, 0, 0, min(sizes))
    place = (
        f"the first other byte is {where}" if where is not None else "the shorter one begins the longer one"
    )
    return place if sizes[0] == sizes[1] else f"{sizes[0]} / {sizes[1]} bytes, {place}"


def _first_other_byte(a: Path, b: Path, begin_a: int, begin_b: int, count: int) -> int | None:
    """Return the number of the first byte that differs in two ranges, None if they are the same."""
    with a.open("rb") as first, b.open("rb") as second:
        first.seek(begin_a)
        second.seek(begin_b)
        done = 0
        while done < count:
            chunks = [_read(stream, min(_CHUNK_BYTES, count - done)) for stream in (first, second)]
            if chunks[0] != chunks[1]:
                return done + next(
                    at for at, pair in enumerate(zip(*chunks, strict=True)) if pair[0] != pair[1]
                )
            done += len(chunks[0])
    return None


def _read(stream: BinaryIO, count: int) -> bytes:
    chunk = stream.read(count)
    if len(chunk) < count:
        raise ImageFileError(f"{stream.name} ends too early; build it or fetch it again")
    return chunk
