"""Mirrors: a reader sees a whole repository at every moment, whatever became of the writer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from servers import NatsServer

from holdfast.broker import free_port
from holdfast_ota import mirror as mirroring
from holdfast_ota.errors import PublishError
from holdfast_ota.fetch import FolderFetcher
from holdfast_ota.mirror import Mirrored
from holdfast_ota.repository import Repository
from holdfast_ota.target import Kind
from holdfast_ota.trust import TrustedRepository


def mirror(repository: Repository, to: str) -> Mirrored:
    return asyncio.run(mirroring.mirror(repository, to))


def content(repository: Repository, base: Path, state: Path) -> bytes:
    trusted = TrustedRepository(repository.pinned_root, state, FolderFetcher(base), "arm-01")
    return trusted.download(trusted.newest(Kind.CONTROLLER, "motion"))


class PulledError(Exception):
    """The stick is gone."""


def test_a_mirror_broken_off_anywhere_stays_whole(repository: Repository, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    repository.publish(Kind.CONTROLLER, "motion", b"old")
    mirror(repository, str(stick))
    repository.publish(Kind.CONTROLLER, "motion", b"new")
    files = len(list(repository.visible_files()))
    for last in range(1, files + 1):

        def pull(number: int, _total: int, _path: str, last: int = last) -> None:
            if number == last:
                raise PulledError

        with pytest.raises(PulledError):
            asyncio.run(mirroring.mirror(repository, str(stick), progress=pull))
        assert content(repository, stick, tmp_path / f"state-{last}") == (b"new" if last == files else b"old")


def test_only_what_is_new_is_written(repository: Repository, tmp_path: Path) -> None:
    first = mirror(repository, str(tmp_path / "stick"))
    again = mirror(repository, str(tmp_path / "stick"))
    repository.refresh()
    refreshed = mirror(repository, str(tmp_path / "stick"))
    assert (first.written, again.written, refreshed.written) == (first.files, 0, 2)


def test_the_object_store_gets_the_same_files(repository: Repository, hub: NatsServer) -> None:
    repository.publish(Kind.CONTROLLER, "motion", b"x" * 500_000)
    first, again = mirror(repository, hub.url), mirror(repository, hub.url)
    assert first.written == first.files == len(list(repository.visible_files()))
    assert again.written == 0


def test_a_mirror_that_is_ahead_is_not_turned_back(repository: Repository, tmp_path: Path) -> None:
    repository.refresh()
    mirror(repository, str(tmp_path / "stick"))
    timestamp = (tmp_path / "stick/metadata/timestamp.json").read_bytes()
    (repository.metadata / "timestamp.json").write_bytes(
        (repository.metadata / "timestamp.json").read_bytes().replace(b'"version":2', b'"version":1')
    )
    with pytest.raises(PublishError, match="is ahead of this folder"):
        mirror(repository, str(tmp_path / "stick"))
    assert (tmp_path / "stick/metadata/timestamp.json").read_bytes() == timestamp


def test_a_mirror_of_another_repository_is_not_overwritten(repository: Repository, tmp_path: Path) -> None:
    mirror(repository, str(tmp_path / "stick"))
    other = Repository.create(tmp_path / "other")
    with pytest.raises(PublishError, match="holds another repository"):
        mirror(other, str(tmp_path / "stick"))


def test_a_mirror_inside_the_repository_is_refused(repository: Repository) -> None:
    with pytest.raises(PublishError, match="lies in the repository itself"):
        mirror(repository, str(repository.directory / "mirror"))


def test_a_place_that_cannot_be_reached_is_named_without_its_password(repository: Repository) -> None:
    with pytest.raises(PublishError, match=r"nats://127\.0\.0\.1:\d+ cannot be reached") as caught:
        mirror(repository, f"nats://user:geheim@127.0.0.1:{free_port()}")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("to", ["http://127.0.0.1/x", "ftp://x"])
def test_a_place_of_an_unknown_kind_is_refused(repository: Repository, to: str) -> None:
    with pytest.raises(PublishError, match="is no place to mirror to"):
        mirror(repository, to)


def test_a_folder_that_cannot_be_written_is_named(repository: Repository, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PublishError, match="cannot be written"):
        mirror(repository, str(tmp_path / "file" / "stick"))


def test_the_remembered_place_is_for_its_owner(repository: Repository) -> None:
    assert repository.mirror is None
    repository.remember_mirror("nats://user:secret@hub:4222")
    assert Repository(repository.directory).mirror == "nats://user:secret@hub:4222"
    assert (repository.directory / "mirror.toml").stat().st_mode & 0o077 == 0
