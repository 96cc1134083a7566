"""The cache: keys follow contents, and what is half-made never has a final name."""

import fcntl
from pathlib import Path

import pytest

from holdfast_image.cache import (
    cache_directory,
    content_hash,
    files_below,
    locked,
    made_whole,
    require_space,
)
from holdfast_image.errors import HostError


def key_of(root: Path) -> str:
    return content_hash(root, files_below(root, ("part", "single")))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "part/inner").mkdir(parents=True)
    (tmp_path / "part/inner/a").write_text("a")
    (tmp_path / "part/link").symlink_to("inner/a")
    (tmp_path / "single").write_text("s")
    return tmp_path


def test_key_is_the_same_for_the_same_content_elsewhere(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "part/inner").mkdir(parents=True)
    (other / "part/inner/a").write_text("a")
    (other / "part/link").symlink_to("inner/a")
    (other / "single").write_text("s")
    assert key_of(tree) == key_of(other)


def test_key_changes_with_content(tree: Path) -> None:
    before = key_of(tree)
    (tree / "part/inner/a").write_text("b")
    assert key_of(tree) != before


def test_key_changes_with_name(tree: Path) -> None:
    before = key_of(tree)
    (tree / "part/inner/a").rename(tree / "part/inner/b")
    assert key_of(tree) != before


def test_key_changes_with_execute_permission(tree: Path) -> None:
    before = key_of(tree)
    (tree / "single").chmod(0o755)
    assert key_of(tree) != before


def test_key_changes_with_link_target(tree: Path) -> None:
    before = key_of(tree)
    (tree / "part/link").unlink()
    (tree / "part/link").symlink_to("inner")
    assert key_of(tree) != before


def test_key_ignores_tests_and_byte_code(tree: Path) -> None:
    before = key_of(tree)
    for name in ("part/tests/test_x.py", "part/__pycache__/x.pyc", "part/x.pyc"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text("x")
    assert key_of(tree) == before


def test_texts_do_not_run_together() -> None:
    assert content_hash(Path("/"), [], "ab", "c") != content_hash(Path("/"), [], "a", "bc")


def test_whole_folder_gets_its_name(tmp_path: Path) -> None:
    with made_whole(tmp_path / "thing") as partial:
        (partial / "file").write_text("x")
        assert not (tmp_path / "thing").exists()
    assert (tmp_path / "thing/file").read_text() == "x"
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with made_whole(tmp_path / "thing") as partial:
            (partial / "file").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_failure_keeps_what_was_there(tmp_path: Path) -> None:
    with made_whole(tmp_path / "thing") as partial:
        (partial / "file").write_text("old")

    def fail() -> None:
        with made_whole(tmp_path / "thing"):
            raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        fail()
    assert (tmp_path / "thing/file").read_text() == "old"


def test_left_over_of_a_killed_build_is_removed(tmp_path: Path) -> None:
    (tmp_path / "thing.partial").mkdir()
    (tmp_path / "thing.partial/old").write_text("x")
    with made_whole(tmp_path / "thing"):
        pass
    assert not (tmp_path / "thing/old").exists()


def test_lock_excludes_another_builder(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with locked(lock), lock.open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with lock.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_no_space_is_one_sentence_with_numbers(tmp_path: Path) -> None:
    with pytest.raises(
        HostError, match=r"the image needs 1048576\.0 GiB in .*, where .* GiB are free; .*HOLDFAST_CACHE"
    ):
        require_space(tmp_path, 1 << 50, "the image")


def test_cache_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(HostError, match=r"cannot make the cache folder .*set HOLDFAST_CACHE"):
        cache_directory()
