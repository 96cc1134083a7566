"""Copies a repository to where robots read it, so that a reader sees a whole repository at every moment.

Files that others point to are written first and `timestamp.json`, which points to all, last. Whatever lies
there already with the same content is left alone, so a broken-off mirror run is completed by the next.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import ObjectStoreConfig
from nats.js.errors import BucketNotFoundError, NotFoundError, ObjectNotFoundError
from nats.js.object_store import ObjectStore
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Timestamp

from holdfast_ota import durable
from holdfast_ota.errors import PublishError
from holdfast_ota.objects import FLEET_DOMAIN, OTA_BUCKET, read_object
from holdfast_ota.repository import Repository

CONNECT_TIMEOUT_S = 5.0


class Place(Protocol):
    """Somewhere that files can be written to under their path in the repository."""

    async def read(self, path: str) -> bytes | None:
        """Return a file's content, or None if there is none."""

    async def write(self, path: str, data: bytes) -> None:
        """Write a file at once: a reader sees all of it or the one before."""

    async def has(self, path: str, data: bytes) -> bool:
        """Whether the file is there with this content."""


@dataclass(frozen=True)
class Mirrored:
    """What a mirror run did."""

    to: str
    files: int
    written: int


class FolderPlace:
    """A folder: a USB stick, or what a web server serves."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def read(self, path: str) -> bytes | None:
        """Return a file's content, or None if there is none."""
        try:
            return (self._directory / path).read_bytes()
        except FileNotFoundError:
            return None

    async def write(self, path: str, data: bytes) -> None:
        """Replace the file durably; a stick can be pulled right after."""
        durable.write_file(self._directory / path, data)

    async def has(self, path: str, data: bytes) -> bool:
        """Whether the file is there with this content."""
        return await self.read(path) == data


class ObjectStorePlace:
    """A JetStream object store; new content is visible once its description is, which is written last."""

    def __init__(self, jetstream: JetStreamContext, store: ObjectStore) -> None:
        self._jetstream = jetstream
        self._store = store

    async def read(self, path: str) -> bytes | None:
        """Return an object's content, or None if there is none."""
        try:
            return b"".join([chunk async for chunk in read_object(self._jetstream, OTA_BUCKET, path)])
        except ObjectNotFoundError:
            return None

    async def write(self, path: str, data: bytes) -> None:
        """Put an object."""
        await self._store.put(path, data)

    async def has(self, path: str, data: bytes) -> bool:
        """Whether the object is there with this content, by the digest that the store keeps."""
        try:
            info = await self._store.get_info(path)
        except NotFoundError:
            return False
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode()
        return info.size == len(data) and info.digest == f"SHA-256={digest}"


async def mirror(
    repository: Repository, to: str, *, progress: Callable[[int, int, str], None] = lambda *_: None
) -> Mirrored:
    """Copy what a reader can reach to a folder or to the fleet's object store (`nats://...`).

    Raises:
        PublishError: the repository is not whole, the place cannot be reached or written, or holds a newer
        or another one.
    """
    files = list(repository.visible_files())
    written = 0
    async with _place(to, repository) as place:
        await _check_it_is_an_older_state(repository, files[-1][1], place, to)
        for number, (path, data) in enumerate(files, start=1):
            if not await place.has(path, data):
                await place.write(path, data)
                written += 1
            progress(number, len(files), path)
    return Mirrored(without_password(to), len(files), written)


def without_password(to: str) -> str:
    """Return an address fit for messages and logs."""
    scheme, separator, rest = to.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}" if separator else to


async def _check_it_is_an_older_state(
    repository: Repository, timestamp: bytes, place: Place, to: str
) -> None:
    """Refuse a mirror that robots would then, rightly, refuse."""
    where = without_password(to)
    first_root = await place.read("metadata/1.root.json")
    if first_root is not None and first_root != repository.pinned_root.read_bytes():
        raise PublishError(
            f"{where} holds another repository, with another root: robots that trust it would refuse "
            f"this one; "
            "mirror to another place, or empty that one on purpose"
        )
    there = await place.read("metadata/timestamp.json")
    if there is None:
        return
    try:
        theirs: int = Metadata[Timestamp].from_bytes(there).signed.version
    except RepositoryError:
        return  # Damaged: writing it again is the mend.
    ours = Metadata[Timestamp].from_bytes(timestamp).signed.version
    if theirs > ours:
        raise PublishError(
            f"{where} is ahead of this folder (timestamp {theirs}, here {ours}): somebody published "
            f"from another copy; "
            "publish from there, or copy its folder here first"
        )


@asynccontextmanager
async def _place(to: str, repository: Repository) -> AsyncIterator[Place]:
    if "://" not in to:
        directory = Path(to).resolve()
        if directory.is_relative_to(repository.directory.resolve()):
            raise PublishError(
                f"{to} lies in the repository itself: name a folder outside {repository.directory}"
            )
        try:
            yield FolderPlace(directory)
        except OSError as error:
            raise PublishError(
                f"the mirror {to} cannot be written ({error.strerror}): check that it is there, "
                f"writable and not full"
            ) from error
        return
    if not to.startswith(("nats://", "tls://")):
        raise PublishError(
            f"{without_password(to)} is no place to mirror to: name a folder or a nats://host:port"
        )
    where = without_password(to)
    try:
        client = await connect(to)
    except (NatsError, OSError, ValueError, TimeoutError) as error:
        raise PublishError(
            f"{where} cannot be reached ({str(error) or type(error).__name__}): "
            "start the fleet's nats-server, or correct address, user and password"
        ) from error
    try:
        jetstream = client.jetstream(domain=FLEET_DOMAIN)
        yield ObjectStorePlace(jetstream, await _bucket(jetstream))
    except (NatsError, OSError, TimeoutError) as error:
        raise PublishError(
            f"{where} did not take the repository ({str(error) or type(error).__name__}): "
            f'check that JetStream is on there, with domain "{FLEET_DOMAIN}", and run holdfast ota '
            f"mirror again"
        ) from error
    finally:
        await client.close()


async def connect(url: str) -> Client:
    """Connect once, without retries in the background: a command line wants an answer."""

    async def ignore(_error: Exception) -> None:
        """Leave errors to the caller, who gets them as exceptions; nats-py would print a traceback."""

    # For nats-py, 0 attempts are attempts without end.
    async with asyncio.timeout(2 * CONNECT_TIMEOUT_S):
        return await nats.connect(
            url,
            connect_timeout=CONNECT_TIMEOUT_S,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            error_cb=ignore,
        )


async def _bucket(jetstream: JetStreamContext) -> ObjectStore:
    try:
        return await jetstream.object_store(OTA_BUCKET)
    except (BucketNotFoundError, NotFoundError):
        return await jetstream.create_object_store(
            OTA_BUCKET, ObjectStoreConfig(description="Signed updates for robots (TUF)")
        )
