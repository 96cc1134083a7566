"""Fetches a version over HTTP: the folder `update` of a build, as any web server gives its files.

Neither the server nor the way to it is trusted. Who installs names the SHA-256 of the version's list, and the list has
those of the files; the server is believed in how long a file is, as far as there is room for it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3
from rich.filesize import decimal
from urllib3.exceptions import HTTPError

from holdfast.errors import RefusedError
from holdfast_image.guest.install import LIST, Update
from holdfast_image.progress import Steps

FOLDER = Path("/var/cache/holdfast-update")
LEFT_FREE_BYTES = 64 << 20
"""For what a robot at work stores meanwhile."""
_LONGEST_LIST_BYTES = 64 * 1024
_CHUNK_BYTES = 1 << 20
_CONNECT_LIMIT_S = 10.0
_SILENCE_LIMIT_S = 60.0


@contextmanager
def fetched(
    url: str,
    sha256: str,
    accept: Callable[[Update], None],
    steps: Steps,
    folder: Path = FOLDER,
    left_free_bytes: int = LEFT_FREE_BYTES,
) -> Iterator[Path]:
    """Give a folder with the version at `url`, which is gone afterwards.

    `sha256` is that of its list; `accept` raises for a version that is not to be fetched.

    Raises:
        RefusedError: it cannot be fetched, it is another one, or there is no room for it.
    """
    shutil.rmtree(folder, ignore_errors=True)  # what is left of one that was cut off
    folder.mkdir(mode=0o700)
    try:
        with urllib3.PoolManager(
            retries=urllib3.Retry(2, backoff_factor=0.5),
            timeout=urllib3.Timeout(connect=_CONNECT_LIMIT_S, read=_SILENCE_LIMIT_S),
        ) as server:
            source = url.rstrip("/")
            _fetch(
                server,
                f"{source}/{LIST}",
                folder / LIST,
                steps,
                _LONGEST_LIST_BYTES,
                "that is no version's list",
            )
            update = Update.read(folder)
            update.require_list(sha256)
            accept(update)
            for name in update.sha256:
                if Path(name).name != name:
                    raise RefusedError(f"{LIST} at {url} names {name!r}, which is no file beside it")
                room = max(shutil.disk_usage(folder).free - left_free_bytes, 0)
                no_room = (
                    f"the data partition has room for {decimal(room)}, so remove what is not needed there"
                )
                _fetch(server, f"{source}/{name}", folder / name, steps, room, no_room)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fetch(server: urllib3.PoolManager, url: str, target: Path, steps: Steps, longest: int, why: str) -> None:
    try:
        # A server that packs what it sends would tell another length.
        with server.request(
            "GET", url, preload_content=False, headers={"Accept-Encoding": "identity"}
        ) as response:
            if response.status != 200:
                raise RefusedError(
                    f"{url}: the server says {response.status} {response.reason}; look at the address"
                )
            told = response.headers.get("Content-Length", "")
            if not told.isdecimal():
                raise RefusedError(f"{url}: the server does not say how long it is (Content-Length)")
            length = int(told)
            if length > longest:
                raise RefusedError(f"{url} has {decimal(length)}; {why}")
            with (
                target.open("wb") as file,
                steps.transfer(f"fetching {target.name}", max(length, 1)) as advance,
            ):
                for chunk in response.stream(_CHUNK_BYTES, decode_content=False):
                    file.write(chunk)
                    advance(len(chunk))
    except HTTPError as error:
        raise RefusedError(
            f"{url} cannot be fetched ({error}); nothing was installed, so try again"
        ) from error
