"""The disk of a machine: an overlay in its folder, of which the host keeps nothing in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from holdfast_bench.qemu.process import FOLDER, IMAGE
from holdfast_bench.qemu.saved_state import DISK
from holdfast_image.build import Image
from holdfast_image.namespace import Bind, run_in_builder

WRITES = "writes.log"
"""In a machine's folder, what its disk was told, if it logs that: `holdfast_bench.write_log` reads it."""
SECOND = "second"
"""What QEMU calls a second drive."""
_TO_GUEST = ("-device", "virtio-blk-pci,drive=disk,bootindex=1")


def make_overlay(
    image: Image, folder: Path, below: str, layout: str, size: int, binds: Sequence[Bind]
) -> None:
    """Make the disk of the machine in `folder`: an empty overlay of `below`, as QEMU sees it."""
    command = ["create", "-q", "-f", "qcow2", "-F", layout, "-b", below, f"{FOLDER}/{DISK}", str(size)]
    _qemu_img(image, folder, command, binds, "making the machine's disk")


def copy_disk(image: Image, folder: Path, name: str, binds: Sequence[Bind]) -> None:
    """Write all that is on the disk of a machine that is off into the raw file `name` of its folder."""
    command = ["convert", "-f", "qcow2", "-O", "raw", f"{FOLDER}/{DISK}", f"{FOLDER}/{name}"]
    _qemu_img(image, folder, command, binds, "copying the machine's disk")


def disk_arguments(folder: Path, *, logged: bool) -> list[str]:
    """Return QEMU's options for the disk; `logged`: whether all that is written to it goes into `WRITES` too, anew."""
    if not logged:
        file = f"{FOLDER}/{DISK},format=qcow2,cache=none,discard=unmap"
        return ["-drive", f"if=none,id=disk,file={file}", *_TO_GUEST]
    (folder / WRITES).write_bytes(b"")
    return [
        *("-blockdev", f"driver=file,node-name=file,filename={FOLDER}/{DISK},cache.direct=on"),
        *("-blockdev", "driver=qcow2,node-name=layers,file=file,cache.direct=on"),
        *("-blockdev", f"driver=file,node-name=log,filename={FOLDER}/{WRITES}"),
        *("-blockdev", "driver=blklogwrites,node-name=disk,file=layers,log=log"),
        *_TO_GUEST,
    ]


def second_drive_arguments(name: str) -> list[str]:
    """Return QEMU's options for a second drive that can be taken out, the raw file `name` in the machine's folder."""
    drive = f"if=none,id={SECOND}-file,file={FOLDER}/{name},format=raw,cache=none"
    device = f"scsi-hd,id={SECOND},drive={SECOND}-file"
    return ["-device", "virtio-scsi-pci", "-drive", drive, "-device", device]


def _qemu_img(image: Image, folder: Path, command: Sequence[str], binds: Sequence[Bind], what: str) -> None:
    seen = [Bind(folder, FOLDER, writable=True), Bind(image.directory, IMAGE), *binds]
    run_in_builder(image.builder.tree, ["qemu-img", *command], seen, log=folder / "qemu.log", what=what)
