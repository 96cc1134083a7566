"""The sources that a build is made from: what the compiler takes for newer is what has changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from holdfast_image.runtime import Snapshot

SOURCE = Path("runtime/control/core.cpp")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "source"


def checkout(folder: Path, content: str, seconds: int) -> Path:
    """Lay out a repository whose one source was last changed so many seconds after 1970."""
    (folder / SOURCE).parent.mkdir(parents=True, exist_ok=True)
    (folder / SOURCE).write_text(content)
    os.utime(folder / SOURCE, (seconds, seconds))
    return folder


def changed_ns(snapshot: Snapshot) -> int:
    return (snapshot.root / SOURCE).stat().st_mtime_ns


def compiled(file: Path, snapshot: Snapshot) -> int:
    """Make an object of what a snapshot has, as a compiler does: after it; returns when."""
    after_ns = changed_ns(snapshot) + 1
    file.write_text((snapshot.root / SOURCE).read_text())
    os.utime(file, ns=(after_ns, after_ns))
    return after_ns


def test_what_another_checkout_has_otherwise_is_compiled_again(tmp_path: Path, target: Path) -> None:
    one, other = checkout(tmp_path / "one", "one", 1000), checkout(tmp_path / "other", "other", 900)
    for repository in (one, other, one):
        snapshot = Snapshot.take(repository, target)
        assert (snapshot.root / SOURCE).read_text() == (repository / SOURCE).read_text()
        object_file = tmp_path / "object"
        if object_file.exists():
            assert changed_ns(snapshot) > object_file.stat().st_mtime_ns
        compiled(object_file, snapshot)


def test_what_is_the_same_is_not_compiled_again(tmp_path: Path, target: Path) -> None:
    first = Snapshot.take(checkout(tmp_path / "one", "one", 1000), target)
    before_ns = changed_ns(first)
    second = Snapshot.take(checkout(tmp_path / "other", "one", 2000), target)
    assert changed_ns(second) == before_ns
    assert second.key == first.key


def test_the_key_knows_contents_and_no_times(tmp_path: Path, target: Path) -> None:
    key = Snapshot.take(checkout(tmp_path / "one", "one", 1000), target).key
    assert Snapshot.take(checkout(tmp_path / "one", "one", 3000), target).key == key
    assert Snapshot.take(checkout(tmp_path / "one", "two", 3000), target).key != key


def test_a_link_stays_one(tmp_path: Path, target: Path) -> None:
    repository = checkout(tmp_path / "one", "one", 1000)
    (repository / "runtime/control/link.cpp").symlink_to("core.cpp")
    for _ in range(2):
        snapshot = Snapshot.take(repository, target)
        assert (snapshot.root / "runtime/control/link.cpp").readlink() == Path("core.cpp")
