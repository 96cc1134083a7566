"""Drives that `holdfast image flash` has written, for virtual machines that start from them."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdfast_image.build import Image

DRIVE_BYTES = 6 << 30


@contextmanager
def flashed_drive(image: Image, folder: Path, *options: str) -> Iterator[Image]:
    """Flash an image with these options to a drive of 6 GiB; what the machine takes for its image is that drive."""
    files = folder / "drive"
    shutil.copytree(image.directory, files, ignore=shutil.ignore_patterns("image.raw", "update"))
    drive = files / "image.raw"
    with drive.open("wb") as file:
        file.truncate(DRIVE_BYTES)
    with _loop_device(drive) as device:
        source = image.directory / "image.raw"
        holdfast = Path(sys.executable).with_name("holdfast")
        subprocess.run([holdfast, "image", "flash", source, device, *options, "--yes", "--json"], check=True)
    yield dataclasses.replace(image, directory=files)
    shutil.rmtree(files)


@contextmanager
def _loop_device(file: Path) -> Iterator[str]:
    """A block device over a file, as a card reader gives one."""
    made = subprocess.run(["losetup", "--find", "--show", file], check=True, capture_output=True, text=True)
    device = made.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
