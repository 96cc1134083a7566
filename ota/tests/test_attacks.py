"""What an attacker can put before a robot, as repositories that say so; its controller never notices."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.signer import CryptoSigner
from servers import NatsServer
from simulated_robot import SINE, controller
from tuf.api.metadata import Metadata, MetaFile, TargetFile
from world import publish, world

from holdfast_ota.errors import Reason
from holdfast_ota.journal import Journal, State
from holdfast_ota.repository import Expiry, Repository
from holdfast_ota.robot import Outcome
from holdfast_ota.target import Kind, Target


class Thief:
    """Signs with stolen keys of a repository, or with keys of his own."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._folder = repository.metadata

    def latest(self, role: str) -> Path:
        if role == "timestamp":
            return self._folder / "timestamp.json"
        found = self._folder.glob(f"[0-9]*.{role}.json")
        return max(found, key=lambda path: int(path.name.split(".")[0]))

    def sign(
        self, role: str, change: Callable[[Any], None], *, own_key: bool = False, bump: bool = True
    ) -> None:
        """Write the next version of a role after a change of its content."""
        metadata: Metadata[Any] = Metadata.from_file(str(self.latest(role)))
        change(metadata.signed)
        metadata.signed.version += bump
        names = ["root-1", "root-2"] if role == "root" else [role]
        metadata.signatures.clear()
        for name in names:
            metadata.sign(self._signer(name, own_key=own_key), append=True)
        path = self._folder / (
            "timestamp.json" if role == "timestamp" else f"{metadata.signed.version}.{role}.json"
        )
        path.write_bytes(metadata.to_bytes())

    def release(self, *roles: str) -> None:
        """Name the latest version of roles in snapshot and timestamp, with the stolen keys of both."""

        def list_roles(snapshot: Any) -> None:
            for role in roles:
                snapshot.meta[f"{role}.json"] = self._meta(role)

        self.sign("snapshot", list_roles)
        self.sign("timestamp", lambda timestamp: setattr(timestamp, "snapshot_meta", self._meta("snapshot")))

    def _meta(self, role: str) -> MetaFile:
        data = self.latest(role).read_bytes()
        return MetaFile.from_data(int(self.latest(role).name.split(".")[0]), data, ["sha256"])

    def _signer(self, name: str, *, own_key: bool) -> CryptoSigner:
        if own_key:
            return CryptoSigner.generate_ed25519()
        private = load_pem_private_key(self._repository.keys.path(name).read_bytes(), None)
        assert isinstance(private, Ed25519PrivateKey)
        return CryptoSigner(private)


@dataclass
class Scene:
    """A robot that committed motion 2 of a repository, which then falls into wrong hands."""

    repository: Repository
    thief: Thief
    place: Path
    robot: Path
    bus: str

    def show(self) -> None:
        """Put the repository as it is now where the robot reads."""
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(self.repository.published, self.place)

    def check(self) -> Outcome:
        """Let the robot look; its controller must be what it was."""

        async def look() -> Outcome:
            async with world(
                self.robot, self.repository.directory / "pinned.json", self.place, self.bus
            ) as here:
                before = list(here.robot.loads)
                outcome = await here.check()
                assert here.robot.loads == before
                assert here.robot.version == "2"
                return outcome

        return asyncio.run(look())


@pytest.fixture
def scene(tmp_path: Path, bus: NatsServer) -> Scene:
    repository = Repository.create(tmp_path / "fleet")
    shutil.copy(repository.pinned_root, repository.directory / "pinned.json")
    scene = Scene(repository, Thief(repository), tmp_path / "place", tmp_path / "robot", bus.url)
    publish(repository, SINE, "2")

    async def commit() -> None:
        async with world(scene.robot, repository.directory / "pinned.json", scene.place, bus.url) as here:
            await here.check()
            await here.run_until("committed")

    scene.show()
    asyncio.run(commit())
    return scene


def refused(outcome: Outcome, reason: Reason, *words: str) -> None:
    assert not outcome.ok
    assert outcome.reason == reason, outcome.sentence
    for word in ("motion", *words):
        assert word in outcome.sentence
    assert "; " in outcome.sentence, "a refusal names its mend"


def test_a_repository_with_the_attackers_keys(scene: Scene, tmp_path: Path) -> None:
    other = Repository.create(tmp_path / "attacker")
    publish(other, controller(), "9")
    shutil.rmtree(scene.place)
    shutil.copytree(other.published, scene.place)
    refused(scene.check(), Reason.UNSIGNED, "not signed by the keys that this robot trusts")


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "controllers"])
def test_one_role_signed_by_a_foreign_key(scene: Scene, role: str) -> None:
    publish(scene.repository, controller(), "3")
    scene.thief.sign(role, lambda _signed: None, own_key=True)
    if role == "snapshot":
        scene.thief.sign("timestamp", lambda t: setattr(t, "snapshot_meta", scene.thief._meta("snapshot")))
    elif role != "timestamp":
        scene.thief.release(role)
    scene.show()
    refused(scene.check(), Reason.UNSIGNED, role)


def test_a_root_of_one_stolen_key_is_not_enough(scene: Scene) -> None:
    publish(scene.repository, controller(), "3")
    scene.repository.keys.path("root-2").write_bytes(CryptoSigner.generate_ed25519().private_bytes)
    scene.thief.sign("root", lambda _root: None)
    scene.show()
    refused(scene.check(), Reason.UNSIGNED, "root")


def test_ended_signatures(tmp_path: Path, scene: Scene) -> None:
    past = Repository(scene.repository.directory, now=lambda: datetime.now(UTC) - timedelta(days=20))
    publish(past, controller(), "3")
    scene.show()
    refused(scene.check(), Reason.EXPIRED, "timestamp.json is expired", "holdfast ota refresh")


def test_a_freeze(tmp_path: Path, bus: NatsServer) -> None:
    """Nothing new arrives, and what is there was valid a moment ago."""
    repository = Repository.create(tmp_path / "fleet", expiry=Expiry(timestamp_days=3 / 86400))
    publish(repository, SINE)

    async def scenario() -> None:
        async with world(tmp_path / "robot", repository.pinned_root, repository.published, bus.url) as here:
            await here.run_until("committed")

            async def ended() -> bool:
                return (await here.check()).reason == Reason.EXPIRED

            await here.until(ended, "a refusal when the signatures end")
            assert here.robot.version == "1"

    asyncio.run(scenario())


def test_a_rollback_of_the_metadata(scene: Scene, tmp_path: Path) -> None:
    shutil.copytree(scene.place, tmp_path / "yesterday")
    publish(scene.repository, SINE, "3")
    scene.repository.refresh()
    scene.show()
    journal = Journal(scene.robot / "ota" / "ota.db")
    journal.fail(journal.begin(_target("3"), "x"), "known", State.REJECTED, mark_bad=True)
    journal.close()
    refused(scene.check(), Reason.BAD_VERSION)  # the newer metadata has been seen now
    shutil.rmtree(scene.place)
    shutil.copytree(tmp_path / "yesterday", scene.place)
    refused(scene.check(), Reason.ROLLBACK, "older than what this robot has seen")


def _target(version: str) -> Target:
    return Target.of(Kind.CONTROLLER, "motion", version)


def test_an_older_target_that_is_validly_signed(scene: Scene) -> None:
    def withdraw(role: Any) -> None:
        role.targets["controllers/motion/1.5.wasm"] = _described(
            role.targets.pop("controllers/motion/2.wasm"), "1.5"
        )

    scene.thief.sign("controllers", withdraw)
    scene.thief.release("controllers")
    scene.show()
    refused(scene.check(), Reason.OLDER, "it is older than 2, which this robot has committed")


def _described(file: TargetFile, version: str, **changes: Any) -> TargetFile:
    custom = {"kind": "controller", "name": "motion", "version": version, **changes}
    path = f"controllers/motion/{version}.wasm"
    return TargetFile(file.length, file.hashes, path, {"custom": custom})


def test_the_same_version_with_another_content(scene: Scene) -> None:
    def swap(role: Any) -> None:
        file = TargetFile.from_data("controllers/motion/2.wasm", b"other", ["sha256"])
        role.targets[file.path] = _described(file, "2")

    scene.thief.sign("controllers", swap)
    scene.thief.release("controllers")
    scene.show()
    refused(scene.check(), Reason.MODIFIED, "another content than the same version")


@pytest.mark.parametrize("harm", ["truncated", "modified", "longer", "missing"])
def test_a_damaged_target(scene: Scene, harm: str) -> None:
    publish(scene.repository, controller(), "3")
    scene.show()
    (path,) = scene.place.glob("targets/controllers/motion/*.3.wasm")
    data = path.read_bytes()
    changed = {"truncated": data[:-1], "modified": data[:-1] + bytes([data[-1] ^ 1]), "longer": data + b"x"}
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(changed[harm])
    expected = {"longer": Reason.OVERSIZED, "missing": Reason.ABSENT}.get(harm, Reason.MODIFIED)
    refused(scene.check(), expected, "motion 3", "the target")


def test_a_mix_of_two_valid_states(scene: Scene) -> None:
    """A role that is validly signed, of the right version, but not the one that the snapshot means."""
    publish(scene.repository, controller(), "3")
    scene.thief.sign("controllers", lambda role: role.targets.clear(), bump=False)
    scene.show()
    refused(scene.check(), Reason.INCONSISTENT, "is not what was signed")


def test_a_fast_forward_is_mended_by_a_new_root(scene: Scene) -> None:
    honest = (scene.repository.metadata / "timestamp.json").read_bytes()
    scene.thief.sign("timestamp", lambda timestamp: setattr(timestamp, "version", 10**6))
    scene.show()
    assert scene.check().state == "current"
    (scene.repository.metadata / "timestamp.json").write_bytes(honest)
    publish(scene.repository, controller(), "3")
    scene.show()
    refused(scene.check(), Reason.ROLLBACK)

    fresh = CryptoSigner.generate_ed25519()

    def replace_key(root: Any) -> None:
        root.revoke_key(root.roles["timestamp"].keyids[0], "timestamp")
        root.add_key(fresh.public_key, "timestamp")

    scene.thief.sign("root", replace_key)
    scene.repository.keys.path("timestamp").write_bytes(fresh.private_bytes)
    scene.repository.refresh()
    journal = Journal(scene.robot / "ota" / "ota.db")
    journal.fail(journal.begin(_target("3"), "x"), "known", State.REJECTED, mark_bad=True)
    journal.close()
    scene.show()
    refused(scene.check(), Reason.BAD_VERSION)  # metadata is believed again; the version is judged by itself


@pytest.mark.parametrize(
    "path",
    ["controllers/motion/../../../../etc/9.wasm", "controllers/motion/...wasm", "controllers/motion/09.wasm"],
)
def test_a_target_whose_name_leads_elsewhere(scene: Scene, tmp_path: Path, path: str) -> None:
    def add(role: Any) -> None:
        file = TargetFile.from_data(path, b"payload", ["sha256"])
        file.unrecognized_fields["custom"] = {"kind": "controller", "name": "motion", "version": "9"}
        role.targets[path] = file

    scene.thief.sign("controllers", add)
    scene.thief.release("controllers")
    scene.show()
    assert scene.check().state == "current"
    assert not any(found.read_bytes() == b"payload" for found in scene.robot.rglob("*") if found.is_file())


def test_a_kind_that_the_robot_does_not_know(scene: Scene) -> None:
    def add(role: Any) -> None:
        file = TargetFile.from_data("controllers/motion/9.wasm", b"x", ["sha256"])
        role.targets[file.path] = _described(file, "9", kind="firmware")

    scene.thief.sign("controllers", add)
    scene.thief.release("controllers")
    scene.show()
    refused(scene.check(), Reason.UNKNOWN_KIND, "'firmware'")


def test_a_description_that_belies_its_path(scene: Scene) -> None:
    def add(role: Any) -> None:
        file = TargetFile.from_data("controllers/motion/9.wasm", b"x", ["sha256"])
        role.targets[file.path] = _described(file, "9", name="gripper")

    scene.thief.sign("controllers", add)
    scene.thief.release("controllers")
    scene.show()
    refused(scene.check(), Reason.INCONSISTENT, "its signed description names")


def test_the_key_of_another_kind_signs_no_controller(scene: Scene) -> None:
    def add(role: Any) -> None:
        file = TargetFile.from_data("controllers/motion/9.wasm", b"x", ["sha256"])
        role.targets[file.path] = _described(file, "9")

    scene.thief.sign("skills", add)
    scene.thief.release("skills")
    scene.show()
    assert scene.check().state == "current"


@pytest.mark.parametrize(
    "content", [b"x" * 5_000_000, b"[" * 16_000, b"", b"{}", b"\xff\xfe", b'{"signed": NaN}']
)
def test_metadata_that_is_none(scene: Scene, content: bytes) -> None:
    (scene.place / "metadata/timestamp.json").write_bytes(content)
    outcome = scene.check()
    assert not outcome.ok
    assert outcome.reason == (Reason.OVERSIZED if len(content) > 16_384 else Reason.INCONSISTENT), (
        outcome.sentence
    )


def test_an_endless_target(scene: Scene) -> None:
    def add(role: Any) -> None:
        file = TargetFile(10**12, {"sha256": "00" * 32}, "controllers/motion/9.wasm")
        role.targets[file.path] = _described(file, "9")

    scene.thief.sign("controllers", add)
    scene.thief.release("controllers")
    scene.show()
    refused(scene.check(), Reason.OVERSIZED, "publish a smaller one")


def test_a_robot_without_root_trusts_nothing(scene: Scene) -> None:
    (scene.repository.directory / "pinned.json").unlink()
    outcome = scene.check()
    assert outcome.reason == Reason.NO_ROOT
    assert "copy the repository's metadata/1.root.json there over a way you trust" in outcome.sentence


def test_a_root_that_is_damaged(scene: Scene) -> None:
    (scene.repository.directory / "pinned.json").write_bytes(b"{")
    assert scene.check().reason == Reason.INCONSISTENT


def test_a_place_that_is_gone(scene: Scene) -> None:
    shutil.rmtree(scene.place)
    refused(scene.check(), Reason.UNREACHABLE, "is not there", "tries again by itself")


def test_a_clock_that_was_turned_back(scene: Scene) -> None:
    journal = Journal(scene.robot / "ota" / "ota.db")
    journal.note_time(datetime.now(UTC) + timedelta(days=30))
    journal.close()
    refused(scene.check(), Reason.CLOCK, "set the clock")


def test_a_disk_that_takes_nothing(scene: Scene) -> None:
    publish(scene.repository, controller(), "3")
    scene.show()
    shutil.rmtree(scene.robot / "ota" / "targets")
    (scene.robot / "ota" / "targets").write_text("")
    outcome = scene.check()
    assert outcome.reason == Reason.STORAGE, outcome.sentence
