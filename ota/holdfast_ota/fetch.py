"""Where a robot reads from: one seam (tuf's `FetcherInterface`), equal implementations behind it.

An address is the path in the repository, such as `metadata/timestamp.json`. Nothing fetched is trusted: the
caller verifies it. A fetcher must yield piece by piece, so that an endless file is cut off at the caller's
limit, and must raise `DownloadHTTPError` with status 404 for what is not there, which ends tuf's walk along
the roots.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError, ObjectNotFoundError
from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient.fetcher import FetcherInterface

from holdfast_ota.objects import OTA_BUCKET, SILENCE_S, TornReadError, read_object

T = TypeVar("T")

_CHUNK_BYTES = 64 * 1024
_ATTEMPTS = 3


def checked_path(url: str) -> PurePosixPath:
    """Return the path in the repository that an address stands for.

    Raises:
        DownloadError: it leads out of the repository.
    """
    path = PurePosixPath(url)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\0" in url or "\\" in url:
        raise DownloadError(f"{url!r} leads out of the repository")
    return path


class FolderFetcher(FetcherInterface):
    """Reads from a folder, such as a USB stick."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _fetch(self, url: str) -> Iterator[bytes]:
        relative = checked_path(url)
        base = self._directory.resolve()
        if not base.is_dir():
            raise DownloadError(f"the folder {self._directory} is not there")
        path = (base / relative).resolve()
        if not path.is_relative_to(base):
            raise DownloadError(f"{url!r} is a link that leads out of the repository")
        if not path.is_file():
            raise DownloadHTTPError(f"{url} is not in {self._directory}", 404)
        return self._chunks(path)

    @staticmethod
    def _chunks(path: Path) -> Iterator[bytes]:
        try:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    yield chunk
        except OSError as error:
            raise DownloadError(f"{path} cannot be read ({error.strerror})") from error


class ObjectStoreFetcher(FetcherInterface):
    """Reads from a JetStream object store; called from a thread other than that of the event loop."""

    def __init__(
        self,
        jetstream: JetStreamContext,
        loop: asyncio.AbstractEventLoop,
        *,
        bucket: str = OTA_BUCKET,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._jetstream = jetstream
        self._loop = loop
        self._bucket = bucket
        self._silence_s = silence_s

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = str(checked_path(url))
        attempt = 1
        while True:
            chunks = read_object(self._jetstream, self._bucket, name, silence_s=self._silence_s)
            try:
                first = self._next(chunks, name)
            except TornReadError as error:
                # Replaced between look-up and reading: timestamp.json is, whenever somebody publishes.
                if attempt == _ATTEMPTS:
                    raise DownloadError(f"{name} cannot be read whole: {error}") from error
                attempt += 1
                continue
            return self._rest(chunks, name, first)

    def _rest(self, chunks: AsyncGenerator[bytes, None], name: str, first: bytes | None) -> Iterator[bytes]:
        chunk = first
        try:
            while chunk is not None:
                yield chunk
                try:
                    chunk = self._next(chunks, name)
                except TornReadError as error:
                    raise DownloadError(str(error)) from error
        finally:
            self._wait(_close(chunks))

    def _next(self, chunks: AsyncGenerator[bytes, None], name: str) -> bytes | None:
        async def following() -> bytes | None:
            return await anext(chunks, None)

        try:
            return self._wait(following())
        except ObjectNotFoundError as error:
            raise DownloadHTTPError(f"{name} is not in the object store {self._bucket}", 404) from error
        except NotFoundError as error:
            raise DownloadError(f"the fleet has no object store {self._bucket}") from error
        except (NatsError, OSError, TimeoutError) as error:
            raise DownloadError(
                f"the fleet does not answer ({str(error) or type(error).__name__})"
            ) from error

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        # The limit is a backstop for an event loop that ended: silence of the server is noticed in the loop.
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=4 * self._silence_s)


async def _close(chunks: AsyncGenerator[bytes, None]) -> None:
    with suppress(NatsError, OSError):
        await chunks.aclose()
