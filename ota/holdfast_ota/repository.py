"""The publisher's TUF repository in a folder (https://theupdateframework.github.io/specification/latest/).

    DIR/keys/*.pem               private keys, mode 0600, never published
    DIR/ota.toml                 how long signatures of each role last
    DIR/mirror.toml              where `publish` mirrors to by itself
    DIR/repository/metadata      N.root.json, N.targets.json, N.<kind>.json, N.snapshot.json, timestamp.json
    DIR/repository/targets       <kind>/<name>/<sha256>.<version>.<suffix>

Snapshots are consistent (§6.2): everything but `timestamp.json` has its version or hash in its name and is
written before it. Replacing `timestamp.json` is the one moment in which a change becomes visible, so a
publisher killed anywhere leaves the old repository valid, and the next one overwrites what nobody could have
seen.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import CryptoSigner, Key
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Root,
    Signed,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from holdfast_ota import durable
from holdfast_ota.errors import PublishError
from holdfast_ota.keys import KeyFolder
from holdfast_ota.target import Kind, Target, next_version, parse_version

T = TypeVar("T", Root, Timestamp, Snapshot, Targets)

Progress = Callable[[str], None]
"""Called with a sentence after each step that is durable."""

FIRST_VERSION = "1"


def system_time() -> datetime:
    """Return the time by the system's clock."""
    return datetime.now(UTC)


def silent(_step: str) -> None:
    """Report nothing."""


@dataclass(frozen=True)
class Expiry:
    """How many days the signatures of a role last; a robot refuses older ones (freeze attacks)."""

    root_days: float = 730.0
    targets_days: float = 365.0
    snapshot_days: float = 30.0
    timestamp_days: float = 7.0

    def __post_init__(self) -> None:
        for field in fields(self):
            days = getattr(self, field.name)
            if not 0.0 < days <= 36500.0:
                raise PublishError(
                    f"{field.name} = {days} is not a time that signatures can last: use 0 to 36500 days"
                )

    def of(self, role: str) -> timedelta:
        """Return the life of a role's signatures; delegated roles live as long as targets."""
        own = {
            Root.type: self.root_days,
            Snapshot.type: self.snapshot_days,
            Timestamp.type: self.timestamp_days,
        }
        return timedelta(days=own.get(role, self.targets_days))


@dataclass(frozen=True)
class Published:
    """A target of the repository, as `status` lists it."""

    target: Target
    length: int
    sha256: str
    custom: dict[str, Any]


@dataclass(frozen=True)
class RoleStatus:
    """A signed role: its version and when its signatures end."""

    role: str
    version: int
    expires: datetime
    expired: bool


class Repository:
    """The publisher's folder; `now` dates signatures, `progress` hears of each durable step."""

    def __init__(
        self, directory: Path, *, now: Callable[[], datetime] = system_time, progress: Progress = silent
    ) -> None:
        self.directory = directory
        self.published = directory / "repository"
        self.metadata = self.published / "metadata"
        self.targets = self.published / "targets"
        self.keys = KeyFolder(directory / "keys")
        self._now = now
        self._progress = progress

    # -- making one ------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        directory: Path,
        *,
        root_keys: int = 3,
        root_threshold: int = 2,
        expiry: Expiry | None = None,
        now: Callable[[], datetime] = system_time,
        progress: Progress = silent,
    ) -> Repository:
        """Make keys and the first signed metadata; the folder appears whole or not at all.

        Raises:
            PublishError: the folder exists, cannot be written, or the threshold cannot be met.
        """
        if not 1 <= root_threshold <= root_keys <= 16:
            raise PublishError(
                f"a root that needs {root_threshold} of {root_keys} keys cannot be: "
                "use 1 to 16 keys and a threshold between 1 and their number"
            )
        if directory.exists() or directory.is_symlink():
            raise PublishError(
                f"{directory} exists: name a new folder (an existing repository is never replaced)"
            )
        try:
            directory.parent.mkdir(parents=True, exist_ok=True)
            part = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
        except OSError as error:
            raise PublishError(
                f"{directory} cannot be made ({error.strerror}): name a folder you can write"
            ) from error
        try:
            repository = cls(part, now=now, progress=progress)
            repository._found(root_keys, root_threshold, expiry or Expiry())
            part.chmod(0o755)
            part.rename(directory)
            durable.sync_directory(directory.parent)
        except OSError as error:
            raise PublishError(
                f"{directory} cannot be written ({error.strerror}): make room or name another folder"
            ) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return cls(directory, now=now, progress=progress)

    def _found(self, root_keys: int, root_threshold: int, expiry: Expiry) -> None:
        """Write keys, settings and version 1 of every role into an empty folder."""
        lines = [f"{field.name} = {getattr(expiry, field.name)!r}" for field in fields(expiry)]
        durable.write_file(self.directory / "ota.toml", "\n".join(["[expiry]", *lines, ""]).encode())

        root = Root(version=1, expires=self._until(Root.type), consistent_snapshot=True)
        signers = [self.keys.generate(name) for name in _root_key_names(root_keys)]
        for signer in signers:
            root.add_key(signer.public_key, Root.type)
        root.roles[Root.type].threshold = root_threshold
        for role in (Targets.type, Snapshot.type, Timestamp.type):
            root.add_key(self.keys.generate(role).public_key, role)
        self._progress(f"keys made in {self.keys.directory.name}")

        roles: dict[str, DelegatedRole] = {}
        delegations = Delegations(keys={}, roles=roles)
        targets = Targets(version=1, expires=self._until(Targets.type), delegations=delegations)
        for kind in Kind:
            roles[kind.role] = DelegatedRole(kind.role, [], 1, terminating=True, paths=[kind.path_pattern])
            targets.add_key(self.keys.generate(kind.role).public_key, kind.role)

        self._sign_and_write(Root.type, root, signers)
        snapshot = Snapshot(version=1, expires=self._until(Snapshot.type), meta={})
        snapshot.meta["targets.json"] = self._sign_and_write(
            Targets.type, targets, [self.keys.load(Targets.type, _key_of(root, Targets.type))]
        )
        for kind in Kind:
            delegated = Targets(version=1, expires=self._until(kind.role))
            snapshot.meta[f"{kind.role}.json"] = self._sign_and_write(
                kind.role, delegated, [self.keys.load(kind.role, _key_of(targets, kind.role))]
            )
        durable.make_directory(self.targets)
        timestamp = Timestamp(version=1, expires=self._until(Timestamp.type))
        self._release(root, snapshot, timestamp)

    # -- changing it -----------------------------------------------------------------------------------------

    def publish(
        self,
        kind: Kind,
        name: str,
        data: bytes,
        *,
        version: str | None = None,
        rollout_percent: int | None = None,
    ) -> Published:
        """Sign a new version of something; without `version`, the one after the newest.

        Raises:
            PublishError: the name, version or share is not usable, the version is not newer, or a key is
            missing.
        """
        if rollout_percent is not None and not 1 <= rollout_percent <= 100:
            raise PublishError(f"a roll-out to {rollout_percent} % of the robots cannot be: use 1 to 100")
        with self._locked():
            root = self._root()
            timestamp, snapshot = self._released()
            role: Targets = self._role(kind.role, snapshot)
            newest = max((item.target for item in _listed(role) if item.target.name == name), default=None)
            target = _next_target(kind, name, version, newest)

            custom: dict[str, Any] = {"kind": kind.word, "name": name, "version": str(target.version)}
            if rollout_percent is not None:
                custom["rollout"] = {"percent": rollout_percent}
            file = TargetFile.from_data(target.path, data, ["sha256"])
            file.unrecognized_fields["custom"] = custom
            for prefixed in file.get_prefixed_paths():
                durable.write_file(self.targets / prefixed, data)
            self._progress(f"stored {target} ({file.length} bytes)")

            role.targets[target.path] = file
            self._resign(kind.role, role, snapshot, root)
            self._release(root, snapshot, timestamp)
            return Published(target, file.length, file.hashes["sha256"], custom)

    def refresh(self) -> list[str]:
        """Sign timestamp and snapshot again, and whatever else has less than a third of its life left.

        Returns:
            sentences about what could not be renewed because its key is not here, such as offline root keys.

        Raises:
            PublishError: the folder is no repository, or a key is missing.
        """
        warnings = []
        with self._locked():
            root = self._root()
            timestamp, snapshot = self._released()
            if self._ageing(Root.type, root):
                signers = self._root_signers(root)
                if signers is None:
                    warnings.append(
                        f"root ends on {root.expires:%Y-%m-%d} and its keys are not here: put "
                        f"{root.roles[Root.type].threshold} of them into {self.keys.directory} and "
                        f"refresh again"
                    )
                else:
                    root.version += 1
                    root.expires = self._until(Root.type)
                    self._sign_and_write(Root.type, root, signers)
            for name in (Targets.type, *(kind.role for kind in Kind)):
                role: Targets = self._role(name, snapshot)
                if self._ageing(name, role):
                    self._resign(name, role, snapshot, root)
            self._release(root, snapshot, timestamp)
        return warnings

    def _resign(self, name: str, role: Targets, snapshot: Snapshot, root: Root) -> None:
        """Write the next version of a targets role and name it in the snapshot."""
        delegator: Root | Targets = root if name == Targets.type else self._role(Targets.type, snapshot)
        signer = self.keys.load(name, _key_of(delegator, name))
        role.version += 1
        role.expires = self._until(name)
        snapshot.meta[f"{name}.json"] = self._sign_and_write(name, role, [signer])

    def _release(self, root: Root, snapshot: Snapshot, timestamp: Timestamp) -> None:
        """Sign the next snapshot and then, as the last step that makes all of it visible, the timestamp."""
        snapshot_signer = self.keys.load(Snapshot.type, _key_of(root, Snapshot.type))
        timestamp_signer = self.keys.load(Timestamp.type, _key_of(root, Timestamp.type))
        if (self.metadata / "timestamp.json").exists():
            snapshot.version += 1
            timestamp.version += 1
        snapshot.expires = self._until(Snapshot.type)
        timestamp.snapshot_meta = self._sign_and_write(Snapshot.type, snapshot, [snapshot_signer])
        timestamp.expires = self._until(Timestamp.type)
        self._sign_and_write(Timestamp.type, timestamp, [timestamp_signer])

    # -- looking at it ---------------------------------------------------------------------------------------

    def published_targets(self) -> list[Published]:
        """List every target, oldest version first.

        Raises:
            PublishError: the folder is no repository.
        """
        _timestamp, snapshot = self._released()
        items = [item for kind in Kind for item in _listed(self._role(kind.role, snapshot))]
        return sorted(items, key=lambda item: item.target)

    def roles(self) -> list[RoleStatus]:
        """List every role with the end of its signatures, those that a robot checks first leading.

        Raises:
            PublishError: the folder is no repository.
        """
        root = self._root()
        timestamp, snapshot = self._released()
        signed: dict[str, Signed] = {Root.type: root, Timestamp.type: timestamp, Snapshot.type: snapshot}
        for name in (Targets.type, *(kind.role for kind in Kind)):
            signed[name] = self._role(name, snapshot)
        return [
            RoleStatus(name, role.version, role.expires, role.is_expired(self._now()))
            for name, role in signed.items()
        ]

    @property
    def pinned_root(self) -> Path:
        """The first root, which robots are given as /etc/holdfast/ota/root.json."""
        return self.metadata / "1.root.json"

    def visible_files(self) -> Iterator[tuple[str, bytes]]:
        """Yield path and content of all that a reader can reach, in the order in which it may appear.

        Targets come first, then what names them, the timestamp last. A `publish` meanwhile changes nothing
        of it.

        Raises:
            PublishError: the folder is no repository.
        """
        timestamp_bytes = self._read("timestamp.json")
        _timestamp, snapshot = self._released(timestamp_bytes)
        roles = (*(kind.role for kind in Kind), Targets.type)
        for kind in Kind:
            for file in self._role(kind.role, snapshot).targets.values():
                for prefixed in file.get_prefixed_paths():
                    yield f"targets/{prefixed}", _read_whole(self.targets / prefixed)
        for name in roles:
            file_name = f"{snapshot.meta[f'{name}.json'].version}.{name}.json"
            yield f"metadata/{file_name}", self._read(file_name)
        for version in range(1, self._root().version + 1):
            yield f"metadata/{version}.root.json", self._read(f"{version}.root.json")
        yield f"metadata/{snapshot.version}.snapshot.json", self._read(f"{snapshot.version}.snapshot.json")
        yield "metadata/timestamp.json", timestamp_bytes

    # -- metadata on disk ------------------------------------------------------------------------------------

    def _read(self, file_name: str) -> bytes:
        return _read_whole(self.metadata / file_name)

    def _load(self, file_name: str, data: bytes | None = None) -> Signed:
        try:
            metadata: Metadata[Any] = Metadata.from_bytes(data if data is not None else self._read(file_name))
        except RepositoryError as error:
            raise PublishError(
                f"{self.metadata / file_name} is damaged ({error}): restore the repository from its "
                f"mirror or a backup"
            ) from error
        return cast(Signed, metadata.signed)

    def _root(self) -> Root:
        versions = [int(path.name.split(".")[0]) for path in self.metadata.glob("[0-9]*.root.json")]
        if not versions:
            raise PublishError(
                f"{self.directory} is no repository (it has no root): make one with holdfast ota init "
                f"{self.directory}"
            )
        return cast(Root, self._load(f"{max(versions)}.root.json"))

    def _released(self, timestamp_bytes: bytes | None = None) -> tuple[Timestamp, Snapshot]:
        timestamp = cast(Timestamp, self._load("timestamp.json", timestamp_bytes))
        snapshot = cast(Snapshot, self._load(f"{timestamp.snapshot_meta.version}.snapshot.json"))
        return timestamp, snapshot

    def _role(self, name: str, snapshot: Snapshot) -> Targets:
        return cast(Targets, self._load(f"{snapshot.meta[f'{name}.json'].version}.{name}.json"))

    def _sign_and_write(self, name: str, signed: T, signers: list[CryptoSigner]) -> MetaFile:
        metadata: Metadata[T] = Metadata(signed)
        for signer in signers:
            metadata.sign(signer, append=True)
        data = metadata.to_bytes(JSONSerializer(compact=True, validate=True))
        file_name = "timestamp.json" if name == Timestamp.type else f"{signed.version}.{name}.json"
        durable.write_file(self.metadata / file_name, data)
        self._progress(f"signed {name} {signed.version}")
        return MetaFile.from_data(signed.version, data, ["sha256"])

    # -- settings --------------------------------------------------------------------------------------------

    def _until(self, role: str) -> datetime:
        return (self._now() + self._expiry().of(role)).replace(microsecond=0)

    def _expiry(self) -> Expiry:
        settings = self._settings("ota.toml")
        try:
            return Expiry(**settings["expiry"])
        except (KeyError, TypeError) as error:
            known = ", ".join(field.name for field in fields(Expiry))
            raise PublishError(
                f"{self.directory / 'ota.toml'} is not as expected ([expiry] with {known}): restore it"
            ) from error

    def _ageing(self, name: str, role: Signed) -> bool:
        return role.expires - self._now() < self._expiry().of(name) / 3

    @property
    def mirror(self) -> str | None:
        """Where `publish` mirrors to by itself; may hold a password, so its file is for the owner only."""
        if not (self.directory / "mirror.toml").exists():
            return None
        to = self._settings("mirror.toml").get("to")
        return to if isinstance(to, str) else None

    def remember_mirror(self, to: str) -> None:
        """Keep the place to mirror to."""
        durable.write_file(self.directory / "mirror.toml", f"to = {json.dumps(to)}\n".encode(), mode=0o600)

    def _settings(self, file_name: str) -> dict[str, Any]:
        path = self.directory / file_name
        try:
            return tomllib.loads(_read_whole(path).decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise PublishError(f"{path} is not TOML ({error}): correct or restore it") from error

    def _root_signers(self, root: Root) -> list[CryptoSigner] | None:
        """Return enough of the root's keys to sign it, or None if they are not all here."""
        role = root.roles[Root.type]
        signers = []
        names = _root_key_names(len(role.keyids))
        for name, keyid in zip(names, role.keyids, strict=True):
            signer = self.keys.find(name, root.keys[keyid])
            if signer is not None:
                signers.append(signer)
        return signers if len(signers) >= role.threshold else None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep a second publisher out; the lock ends with the process, however it ends."""
        self._root()
        descriptor = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError as error:
            raise PublishError(
                f"another holdfast ota works on {self.directory}: wait for it and try again"
            ) from error
        except (RepositoryError, UnverifiedSignatureError) as error:
            raise PublishError(
                f"{self.directory} cannot be signed ({error}): restore it from a backup"
            ) from error
        except OSError as error:
            raise PublishError(
                f"{self.directory} cannot be written ({error.strerror}): nothing became visible; make "
                f"room and try again"
            ) from error
        finally:
            os.close(descriptor)


def _root_key_names(count: int) -> list[str]:
    return [f"root-{number}" for number in range(1, count + 1)]


def _key_of(delegator: Root | Targets, role: str) -> Key:
    keyid = delegator.get_delegated_role(role).keyids[0]
    return delegator.get_key(keyid)


def _listed(role: Targets) -> list[Published]:
    return [
        Published(Target.parse(path), file.length, file.hashes["sha256"], dict(file.custom or {}))
        for path, file in role.targets.items()
    ]


def _next_target(kind: Kind, name: str, version: str | None, newest: Target | None) -> Target:
    """Return the target to publish.

    Raises:
        PublishError: the name or version is unusable, or a version that is the same or newer is published
        already.
    """
    try:
        if version is None:
            wanted = next_version(newest.version) if newest else parse_version(FIRST_VERSION)
        else:
            wanted = parse_version(version)
        target = Target.of(kind, name, wanted)
    except ValueError as error:
        raise PublishError(str(error)) from error
    if newest is not None and target.version <= newest.version:
        raise PublishError(
            f"{target} is not newer than {newest.version}, which is published: "
            f"use a version above it, such as {next_version(newest.version)}"
        )
    return target


def _read_whole(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise PublishError(
            f"{path} is missing, so this is no whole repository: make one with holdfast ota init, or "
            f"restore it"
        ) from error
    except OSError as error:
        raise PublishError(
            f"{path} cannot be read ({error.strerror}): check the file's permissions"
        ) from error
