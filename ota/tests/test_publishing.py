"""The publisher: keys, versions, expiry, and a folder that is valid at every moment."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root

from holdfast.places import executable
from holdfast_ota.errors import PublishError, Reason, RefusalError
from holdfast_ota.fetch import FolderFetcher
from holdfast_ota.mirror import mirror
from holdfast_ota.repository import Expiry, Repository
from holdfast_ota.target import MAX_CONTROLLER_BYTES, Kind, Target, next_version, parse_version
from holdfast_ota.trust import Offer, TrustedRepository, rollout_slot

ARM = Path(__file__).parents[2] / "examples/robots/arm.toml"
STEPS_OF_A_PUBLISH = 4  # target, delegated role, snapshot, timestamp


def resolve(repository: Repository, state: Path, robot: str = "arm-01") -> tuple[Offer, bytes]:
    fetcher = FolderFetcher(repository.published)
    trusted = TrustedRepository(repository.pinned_root, state, fetcher, robot)
    offer = trusted.newest(Kind.CONTROLLER, "motion")
    return offer, trusted.download(offer)


def test_a_new_repository_is_signed_by_two_of_three_root_keys(repository: Repository) -> None:
    root = Metadata[Root].from_file(str(repository.pinned_root))
    assert root.signed.roles["root"].threshold == 2
    assert len(root.signed.roles["root"].keyids) == len(root.signatures) == 3
    assert root.signed.consistent_snapshot
    root.verify_delegate("root", root)


def test_every_role_has_its_own_key(repository: Repository) -> None:
    assert len({path.read_bytes() for path in repository.keys.directory.iterdir()}) == 3 + 3 + len(Kind)


def test_private_keys_are_for_their_owner_and_outside_what_is_published(
    repository: Repository, tmp_path: Path
) -> None:
    for path in repository.keys.directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert b"BEGIN PRIVATE KEY" in path.read_bytes()
    assert stat.S_IMODE(repository.keys.directory.stat().st_mode) == 0o700
    asyncio.run(mirror(repository, str(tmp_path / "stick")))
    for path in (tmp_path / "stick").rglob("*"):
        assert path.is_dir() or b"PRIVATE" not in path.read_bytes()


def test_an_existing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="exists: name a new folder"):
        Repository.create(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(PublishError, match="exists"):
        Repository.create(tmp_path / "link")


@pytest.mark.parametrize(("keys", "threshold"), [(0, 0), (2, 3), (3, 0), (17, 1)])
def test_a_root_that_cannot_be_is_refused(tmp_path: Path, keys: int, threshold: int) -> None:
    with pytest.raises(PublishError, match="cannot be"):
        Repository.create(tmp_path / "fleet", root_keys=keys, root_threshold=threshold)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("days", [0.0, -1.0, float("nan"), float("inf"), 1e6])
def test_an_expiry_that_cannot_be_is_refused(days: float) -> None:
    with pytest.raises(PublishError, match="not a time that signatures can last"):
        Expiry(timestamp_days=days)


def test_what_is_published_can_be_resolved(repository: Repository, tmp_path: Path) -> None:
    published = repository.publish(Kind.CONTROLLER, "motion", b"content", version="1.4.0")
    offer, content = resolve(repository, tmp_path / "state")
    assert content == b"content"
    assert offer.target == published.target == Target.of(Kind.CONTROLLER, "motion", "1.4.0")
    assert offer.sha256 == published.sha256


def test_versions_count_up_by_themselves(repository: Repository) -> None:
    versions = [str(repository.publish(Kind.CONTROLLER, "motion", b"x").target.version) for _ in range(3)]
    assert versions == ["1", "2", "3"]
    assert str(repository.publish(Kind.CONTROLLER, "gripper", b"x").target.version) == "1"


@pytest.mark.parametrize(
    ("before", "after"), [("3", "4"), ("1.4.9", "1.4.10"), ("2.0rc1", "2.0"), ("1.2.post1", "1.3")]
)
def test_the_version_that_follows(before: str, after: str) -> None:
    assert next_version(parse_version(before)) == parse_version(after)


@pytest.mark.parametrize("version", ["1.4.0", "1.4", "1.3.99", "1.4.0rc1", "0"])
def test_the_same_or_an_older_version_is_refused(repository: Repository, version: str) -> None:
    repository.publish(Kind.CONTROLLER, "motion", b"x", version="1.4.0")
    before = (repository.metadata / "timestamp.json").read_bytes()
    with pytest.raises(
        PublishError, match=r"is not newer than 1\.4\.0.*use a version above it, such as 1\.4\.1"
    ):
        repository.publish(Kind.CONTROLLER, "motion", b"y", version=version)
    assert (repository.metadata / "timestamp.json").read_bytes() == before


@pytest.mark.parametrize("version", ["", "x", "1!2", "1+local", "../1", "1/2"])
def test_a_version_that_is_none_is_refused(repository: Repository, version: str) -> None:
    with pytest.raises(PublishError, match=r"write a (number|version)"):
        repository.publish(Kind.CONTROLLER, "motion", b"x", version=version)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "Motion", "-x", "x" * 65, "a b", "a\n"])
def test_a_name_that_is_none_is_refused(repository: Repository, name: str) -> None:
    with pytest.raises(PublishError, match="is not a name for a target"):
        repository.publish(Kind.CONTROLLER, name, b"x")


@pytest.mark.parametrize(
    "path",
    [
        "firmware/x/1.wasm",
        "controllers/x/1.txt",
        "controllers/x",
        "controllers/../x/1.wasm",
        "controllers/../1.wasm",
        "controllers//x/1.wasm",
        "/controllers/x/1.wasm",
        "controllers/x/01.wasm",
        "controllers/x/v1.wasm",
        "",
    ],
)
def test_a_path_that_is_not_a_targets_own_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Target.parse(path)


def test_a_phased_roll_out_reaches_its_share_of_robots_and_the_others_keep_the_older(
    repository: Repository, tmp_path: Path
) -> None:
    repository.publish(Kind.CONTROLLER, "motion", b"old", version="1")
    new = repository.publish(Kind.CONTROLLER, "motion", b"new", version="2", rollout_percent=30).target
    robots = [f"arm-{number:02}" for number in range(40)]
    for robot in robots:
        expected = b"new" if rollout_slot(robot, new) < 30 else b"old"
        assert resolve(repository, tmp_path / robot, robot)[1] == expected
    assert 0 < sum(rollout_slot(robot, new) < 30 for robot in robots) < 40


@pytest.mark.parametrize("percent", [0, 101, -5])
def test_a_share_that_cannot_be_is_refused(repository: Repository, percent: int) -> None:
    with pytest.raises(PublishError, match="use 1 to 100"):
        repository.publish(Kind.CONTROLLER, "motion", b"x", rollout_percent=percent)


@pytest.mark.parametrize("step", range(1, STEPS_OF_A_PUBLISH + 1))
def test_a_publisher_killed_at_any_step_leaves_a_valid_repository(
    repository: Repository, tmp_path: Path, step: int
) -> None:
    repository.publish(Kind.CONTROLLER, "motion", b"old", version="1")
    script = Path(__file__).with_name("publish_process.py")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, script, repository.directory, "2", str(step)], env=environment)
    assert killed.returncode == -signal.SIGKILL
    visible = step == STEPS_OF_A_PUBLISH
    assert resolve(repository, tmp_path / "state")[1] == (b"new 2" if visible else b"old")
    # The next publisher is not held up, and what nobody could see is overwritten.
    repository.publish(Kind.CONTROLLER, "motion", b"after", version="3" if visible else "2")
    assert resolve(repository, tmp_path / "state")[1] == b"after"
    assert resolve(repository, tmp_path / "another")[1] == b"after"


def test_two_publishers_at_once_are_one_too_many(repository: Repository) -> None:
    second: list[str] = []

    def publish_too(_step: str) -> None:
        with pytest.raises(PublishError, match="another holdfast ota works on") as caught:
            Repository(repository.directory).publish(Kind.CONTROLLER, "motion", b"x")
        second.append(str(caught.value))

    Repository(repository.directory, progress=publish_too).publish(Kind.CONTROLLER, "motion", b"x")
    assert second


def test_publishing_needs_no_root_keys(repository: Repository, tmp_path: Path) -> None:
    for path in repository.keys.directory.glob("root-*.pem"):
        path.unlink()
    repository.publish(Kind.CONTROLLER, "motion", b"x")
    assert repository.refresh() == []
    assert resolve(repository, tmp_path / "state")[1] == b"x"


def test_a_missing_foreign_or_readable_key_is_named(repository: Repository, tmp_path: Path) -> None:
    key = repository.keys.path("controllers")
    other = Repository.create(tmp_path / "other").keys.path("controllers")
    content = key.read_bytes()
    key.write_bytes(other.read_bytes())
    with pytest.raises(
        PublishError, match=r"controllers\.pem is not the private key that this repository trusts"
    ):
        repository.publish(Kind.CONTROLLER, "motion", b"x")
    key.write_bytes(b"not a key")
    with pytest.raises(PublishError, match="is not the private key"):
        repository.publish(Kind.CONTROLLER, "motion", b"x")
    key.write_bytes(content)
    key.chmod(0o644)
    with pytest.raises(PublishError, match="can be read by others: run chmod 600"):
        repository.publish(Kind.CONTROLLER, "motion", b"x")
    key.unlink()
    with pytest.raises(PublishError, match=r"controllers\.pem is missing"):
        repository.publish(Kind.CONTROLLER, "motion", b"x")


def test_refresh_brings_an_ended_repository_back(tmp_path: Path) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=700)
    old = Repository.create(tmp_path / "fleet", now=lambda: long_ago)
    old.publish(Kind.CONTROLLER, "motion", b"x")
    with pytest.raises(RefusalError) as caught:
        resolve(old, tmp_path / "state")
    assert caught.value.reason is Reason.EXPIRED
    repository = Repository(tmp_path / "fleet")
    assert repository.refresh() == []
    assert resolve(repository, tmp_path / "state")[1] == b"x"
    assert not any(role.expired for role in repository.roles())


def test_refresh_says_when_the_root_ends_and_its_keys_are_away(tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "fleet", now=lambda: datetime.now(UTC) - timedelta(days=700))
    for number in (1, 2):
        repository.keys.path(f"root-{number}").unlink()
    (warning,) = Repository(tmp_path / "fleet").refresh()
    assert "put 2 of them into" in warning
    assert not (repository.metadata / "2.root.json").exists()


def test_a_folder_that_is_no_repository_says_so(tmp_path: Path) -> None:
    with pytest.raises(PublishError, match="is no repository"):
        Repository(tmp_path).publish(Kind.CONTROLLER, "motion", b"x")
    with pytest.raises(PublishError, match=r"is no whole repository|is no repository"):
        Repository(tmp_path).published_targets()


def test_a_damaged_repository_is_named_and_not_signed_over(repository: Repository) -> None:
    (repository.metadata / "timestamp.json").write_text("{")
    with pytest.raises(PublishError, match=r"timestamp\.json is damaged"):
        repository.publish(Kind.CONTROLLER, "motion", b"x")


def test_what_may_be_published_is_what_a_robots_verification_takes(tmp_path: Path) -> None:
    """A version that every robot rejects would be bad for good there."""

    def complaint(size: int) -> str:
        source = tmp_path / "source"
        source.write_bytes(b" " * size)
        places = ("--config", ARM, "--source", source, "--out", tmp_path / "out")
        command = [str(executable("holdfast-verify")), *map(str, places)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    assert "the limit is" in complaint(MAX_CONTROLLER_BYTES + 1)
    assert "the limit is" not in complaint(MAX_CONTROLLER_BYTES)
