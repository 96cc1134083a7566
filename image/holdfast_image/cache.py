"""Where the build keeps what can be made again: $HOLDFAST_CACHE or ~/.cache/holdfast.

Everything is made under a temporary name beside its place and renamed when whole, so that what has its final
name is finished. One lock file per thing keeps two builders apart.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from holdfast_image.errors import HostError

_GIB = 1 << 30


def cache_directory() -> Path:
    """Return the cache's folder, made if missing.

    Raises:
        HostError: it cannot be made or written.
    """
    path = Path(os.environ.get("HOLDFAST_CACHE") or Path.home() / ".cache/holdfast").absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostError(
            f"cannot make the cache folder {path}: {error.strerror}; set HOLDFAST_CACHE to another"
        ) from error
    return path


def require_space(directory: Path, needed_bytes: int, what: str) -> None:
    """Refuse to begin what will not fit.

    Raises:
        HostError: fewer than `needed_bytes` are free where `directory` lies.
    """
    free = shutil.disk_usage(directory).free
    if free < needed_bytes:
        raise HostError(
            f"{what} needs {needed_bytes / _GIB:.1f} GiB in {directory}, "
            f"where {free / _GIB:.1f} GiB are free; "
            "free some or set HOLDFAST_CACHE to a folder on a larger disk"
        )


@contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold an exclusive lock on `path`; `waiting` is called once if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


@contextmanager
def made_whole(path: Path) -> Iterator[Path]:
    """Give a new folder that becomes `path` if the body succeeds and is removed if it does not.

    The caller holds the lock of `path`: left-overs of a killed process are removed here.
    """
    for leftover in path.parent.glob(f"{path.name}.partial*"):
        shutil.rmtree(leftover)
    partial = path.with_name(f"{path.name}.partial")
    partial.mkdir(parents=True)
    try:
        yield partial
        if path.exists():
            shutil.rmtree(path)
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def in_use(mark: Path) -> Iterator[None]:
    """Keep the cached thing that the file `mark` belongs to from being removed while the body runs."""
    with mark.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        yield


def forget_unused(newest: Path, mark: str, kept: int) -> None:
    """Mark a cached folder as used now, and remove its neighbours but the `kept` used last and those in use."""
    os.utime(newest)
    folders = sorted(newest.parent.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in folders[kept:]:
        with suppress(BlockingIOError, FileNotFoundError), (folder / mark).open() as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder)


def files_below(root: Path, names: tuple[str, ...]) -> list[Path]:
    """List the files of `names` (files or folders below `root`), sorted, without tests and byte code."""
    found: list[Path] = []
    for name in names:
        top = root / name
        if top.is_symlink() or top.is_file():
            found.append(top)
            continue
        for directory, folders, files in os.walk(top):
            folders[:] = [folder for folder in folders if folder not in {"__pycache__", "tests", "build"}]
            here = Path(directory)
            # A link to a folder is listed with the folders.
            found += [here / folder for folder in folders if (here / folder).is_symlink()]
            found += [here / file for file in files if not file.endswith(".pyc")]
    return sorted(found)


def content_hash(root: Path, files: list[Path], *more: str) -> str:
    """Return a hash over names, modes, link targets and contents of `files`, and over `more`."""
    digest = hashlib.sha256()
    for file in files:
        if file.is_symlink():
            kind, content = "link", bytes(file.readlink())
        else:
            kind, content = "exec" if file.stat().st_mode & 0o100 else "file", file.read_bytes()
        digest.update(f"{kind} {file.relative_to(root)} {len(content)}\n".encode())
        digest.update(content)
    for text in more:
        digest.update(f"text {len(text)}\n{text}".encode())
    return digest.hexdigest()[:16]
