from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

# The suite is imported by path (--import-mode=importlib); what it shares are modules beside it.
sys.path.insert(0, str(Path(__file__).parent))

import disk_images

LoopMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def image_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return disk_images.make_image(tmp_path_factory.mktemp("image") / "image.raw")


@contextmanager
def _loop_over(backing: Path, *options: str) -> Iterator[Path]:
    made = subprocess.run(
        ["losetup", "--find", "--show", *options, str(backing)], check=True, capture_output=True, text=True
    )
    device = made.stdout.strip()
    try:
        yield Path(device)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@pytest.fixture
def loop_drive(tmp_path: Path) -> Iterator[LoopMaker]:
    """Makes a drive of so many bytes out of a file, full of what an earlier user left."""
    with ExitStack() as stack:

        def make(size: int, *options: str) -> Path:
            backing = tmp_path / f"drive-{size}"
            backing.write_bytes(b"\xa5" * size)
            return stack.enter_context(_loop_over(backing, *options))

        yield make


@pytest.fixture
def failing_drive(tmp_path: Path) -> Iterator[Path]:
    """A drive that takes two megabytes and then fails each write."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2M", "tmpfs", folder], check=True)
    try:
        backing = folder / "drive"
        backing.touch()
        os.truncate(backing, 16 << 20)
        with _loop_over(backing) as device:
            yield device
    finally:
        subprocess.run(["umount", folder], check=True)
