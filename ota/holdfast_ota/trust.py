"""The robot's trust: from a pinned root to a verified target (TUF specification, section 5).

python-tuf's `Updater` does the verifying; this module chooses the newest target of a name, and says in
sentences why something was refused. It blocks on network and disk: call it from a thread.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    ExpiredMetadataError,
    LengthOrHashMismatchError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata, TargetFile, Targets
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from holdfast_ota import durable
from holdfast_ota.errors import Reason, RefusalError
from holdfast_ota.target import MAX_CONTROLLER_BYTES, Kind, Target

_LIMITS = UpdaterConfig(
    max_root_rotations=64,
    max_delegations=8,
    root_max_length=256 * 1024,
    timestamp_max_length=16 * 1024,
    snapshot_max_length=256 * 1024,
    targets_max_length=4 * 1024 * 1024,
)
_ASK_PUBLISHER = "ask the publisher of this repository"


@dataclass(frozen=True)
class Offer:
    """The newest target for this robot, named by valid signatures; its content is not here yet."""

    target: Target
    file: TargetFile
    ignored: tuple[str, ...]
    """Sentences about entries of the same name that were passed over."""

    @property
    def sha256(self) -> str:
        """Digest of the content, as signed."""
        return str(self.file.hashes["sha256"])


def rollout_slot(robot_id: str, target: Target) -> int:
    """Return this robot's place (0 to 99) in a phased roll-out; it differs from target to target."""
    digest = hashlib.sha256(f"{robot_id}\n{target.path}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % 100


class TrustedRepository:
    """A repository as one check sees it: refreshed once, then targets come from that one snapshot."""

    def __init__(
        self, root_file: Path, state_directory: Path, fetcher: FetcherInterface, robot_id: str
    ) -> None:
        """Pin the root.

        Raises:
            RefusalError: there is no root, or it cannot be read.
        """
        self._metadata = state_directory / "metadata"
        self._targets = state_directory / "targets"
        self._robot_id = robot_id
        with _explained("repository", whole="the pinned root"):
            durable.make_directory(self._metadata, mode=0o700)
            durable.make_directory(self._targets, mode=0o700)
            self._updater = Updater(
                str(self._metadata),
                "metadata",
                str(self._targets),
                "targets",
                fetcher=fetcher,
                config=_LIMITS,
                bootstrap=_pinned(root_file),
            )

    def newest(self, kind: Kind, name: str) -> Offer:
        """Refresh the metadata and return the newest target of that name for this robot.

        Raises:
            RefusalError: metadata is unsigned, expired, older, inconsistent, oversized or unreachable, or
            there is no target.
        """
        subject = f"{kind.word} {name}"
        with _explained(subject, whole="the repository's metadata"):
            self._updater.refresh()
            # Any path of this kind makes the updater load and verify the role that may sign it.
            self._updater.get_targetinfo(f"{kind.role}/{name}/-{kind.suffix}")
            self._sync_metadata()
            role = self._verified_role(kind, subject)
        candidates, ignored = _candidates(role, kind, name)
        for target in sorted(candidates, reverse=True):
            with _explained(str(target), whole="the repository's metadata"):
                file = self._updater.get_targetinfo(target.path)
            if file is None:
                continue
            _check_description(target, file)
            percent = _rollout_percent(target, file)
            if rollout_slot(self._robot_id, target) < percent:
                return Offer(target, file, tuple(ignored))
            ignored.append(
                f"{target}: is rolled out to {percent} % of the robots so far, not yet to this one"
            )
        listed = f" ({'; '.join(ignored)})" if ignored else ""
        raise RefusalError(
            Reason.ABSENT,
            subject,
            f"the repository has no version of it for this robot{listed}",
            f"publish one with holdfast ota publish {kind.word}, or correct [ota] controller in robot.toml",
        )

    def download(self, offer: Offer) -> bytes:
        """Fetch the target's content, compare it with what was signed, and keep it durably.

        Raises:
            RefusalError: it is missing, truncated, modified, too large, or there is no room for it.
        """
        if offer.file.length > MAX_CONTROLLER_BYTES:
            raise RefusalError(
                Reason.OVERSIZED,
                str(offer.target),
                f"it has {offer.file.length} bytes, and a {offer.target.kind_word} may have "
                f"{MAX_CONTROLLER_BYTES}",
                "publish a smaller one",
            )
        path = self.stored(offer.sha256)
        with _explained(str(offer.target), whole="the target"):
            if self._updater.find_cached_target(offer.file, str(path)) is None:
                part = path.with_suffix(".part")
                self._updater.download_target(offer.file, str(part))
                durable.write_file(path, part.read_bytes(), mode=0o600)
                part.unlink()
                for other in self._targets.glob("*.bin"):
                    if other != path:
                        other.unlink()
            return path.read_bytes()

    def stored(self, sha256: str) -> Path:
        """Where a target's content is kept; named by its digest, never by what a repository calls it."""
        return self._targets / f"{sha256}.bin"

    def _verified_role(self, kind: Kind, subject: str) -> Targets:
        """Return the role of a kind, which the updater has verified and kept."""
        top = cast(Targets, Metadata.from_file(str(self._metadata / "targets.json")).signed)
        delegated = top.delegations.roles if top.delegations else None
        if not delegated or kind.role not in delegated:
            raise RefusalError(
                Reason.UNKNOWN_KIND,
                subject,
                f"nobody may sign the kind {kind.word!r} in this repository",
                "make the repository with this version of holdfast ota init",
            )
        return cast(Targets, Metadata.from_file(str(self._metadata / f"{kind.role}.json")).signed)

    def _sync_metadata(self) -> None:
        """Make what was verified durable, so that a power cut does not forget which versions were seen."""
        for path in self._metadata.glob("*.json"):
            with path.open("rb") as file:
                os.fsync(file.fileno())
        durable.sync_directory(self._metadata)


def _pinned(root_file: Path) -> bytes:
    try:
        return root_file.read_bytes()
    except OSError as error:
        raise RefusalError(
            Reason.NO_ROOT,
            "repository",
            f"the root that this robot is to trust, {root_file}, cannot be read ({error.strerror})",
            "copy the repository's metadata/1.root.json there over a way you trust (provisioning does)",
        ) from error


def _candidates(role: Targets, kind: Kind, name: str) -> tuple[list[Target], list[str]]:
    found, ignored = [], []
    for path in role.targets:
        if not path.startswith(f"{kind.role}/{name}/"):
            continue
        try:
            found.append(Target.parse(path))
        except ValueError as error:
            ignored.append(f"passed over: {error}")
    return found, ignored


def _check_description(target: Target, file: TargetFile) -> None:
    """Refuse a target whose signed description is not that of its path."""
    described = file.custom if isinstance(file.custom, dict) else {}
    kind = described.get("kind")
    if kind not in {known.word for known in Kind}:
        raise RefusalError(
            Reason.UNKNOWN_KIND,
            str(target),
            f"it says that it is of kind {kind!r}, which this robot does not know",
            f"publish it again with holdfast ota publish {target.kind_word}",
        )
    if (kind, described.get("name"), described.get("version")) != (
        target.kind_word,
        target.name,
        str(target.version),
    ):
        raise RefusalError(
            Reason.INCONSISTENT,
            str(target),
            f"its signed description names {kind} {described.get('name')} {described.get('version')}",
            _ASK_PUBLISHER,
        )
    if "sha256" not in file.hashes:
        raise RefusalError(
            Reason.INCONSISTENT, str(target), "it is signed without a SHA-256 digest", _ASK_PUBLISHER
        )


def _rollout_percent(target: Target, file: TargetFile) -> int:
    rollout = (file.custom or {}).get("rollout", {"percent": 100})
    percent = rollout.get("percent") if isinstance(rollout, dict) else None
    if not isinstance(percent, int) or isinstance(percent, bool) or not 0 <= percent <= 100:
        raise RefusalError(
            Reason.INCONSISTENT,
            str(target),
            f"its roll-out {rollout!r} is not a share of 0 to 100 percent",
            _ASK_PUBLISHER,
        )
    return percent


@contextmanager
def _explained(target: str, *, whole: str) -> Iterator[None]:
    """Turn tuf's exceptions into refusals; `whole` is what was being read."""
    try:
        yield
    except DownloadLengthMismatchError as error:
        raise RefusalError(
            Reason.OVERSIZED,
            target,
            f"{whole} is larger than allowed and was cut off ({error})",
            "somebody between publisher and robot may be changing it; mirror the repository again",
        ) from error
    except DownloadHTTPError as error:
        raise RefusalError(
            Reason.ABSENT if whole == "the target" else Reason.UNREACHABLE,
            target,
            f"{whole} is not complete where this robot reads it ({error})",
            "mirror the repository there with holdfast ota mirror",
        ) from error
    except DownloadError as error:
        detail = error.__cause__ if error.__cause__ is not None and str(error.__cause__) else error
        raise RefusalError(
            Reason.UNREACHABLE,
            target,
            f"{whole} cannot be fetched ({detail})",
            "the robot keeps its controller and tries again by itself; check the fleet's link",
        ) from error
    except UnsignedMetadataError as error:
        raise RefusalError(
            Reason.UNSIGNED,
            target,
            f"{whole} is not signed by the keys that this robot trusts ({error})",
            "sign it with the keys of the repository whose root the robot was given",
        ) from error
    except ExpiredMetadataError as error:
        raise RefusalError(
            Reason.EXPIRED,
            target,
            f"the signatures of {whole} have ended ({error}; this robot's clock says "
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC)",
            "run holdfast ota refresh and mirror, or correct the robot's clock",
        ) from error
    except BadVersionNumberError as error:
        raise RefusalError(
            Reason.ROLLBACK,
            target,
            f"{whole} is older than what this robot has seen ({error or 'version'})",
            "mirror the newest repository; if it was lost, publish from its last backup and refresh "
            "until it is newer",
        ) from error
    except LengthOrHashMismatchError as error:
        raise RefusalError(
            Reason.MODIFIED if whole == "the target" else Reason.INCONSISTENT,
            target,
            f"{whole} is truncated or modified: it is not what was signed ({error})",
            "mirror the repository again; if that does not help, somebody is changing it",
        ) from error
    except RepositoryError as error:
        raise RefusalError(
            Reason.INCONSISTENT,
            target,
            f"{whole} is damaged or does not fit together ({error})",
            "mirror the repository again",
        ) from error
    except OSError as error:
        raise RefusalError(
            Reason.STORAGE,
            target,
            f"{whole} cannot be stored on this robot ({error.strerror or error})",
            "make room in its state directory and check its permissions",
        ) from error
