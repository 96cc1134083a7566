"""One conformance suite for every place that a robot reads from: what holds for one fetcher holds for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Thread
from typing import Any

import nats
import pytest
from servers import NatsServer
from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError
from tuf.ngclient.fetcher import FetcherInterface

from holdfast_ota.fetch import FolderFetcher, ObjectStoreFetcher
from holdfast_ota.mirror import mirror
from holdfast_ota.objects import FLEET_DOMAIN, OTA_BUCKET
from holdfast_ota.repository import Repository


class Loop:
    """An event loop in a thread, as the worker has one, for fetchers that are called from another."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = Thread(target=self.loop.run_forever)
        self._thread.start()

    def run(self, work: Any) -> Any:
        future: Future[Any] = asyncio.run_coroutine_threadsafe(work, self.loop)
        return future.result(60)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


Seam = tuple[FetcherInterface, Callable[[str, bytes], None]]


@pytest.fixture
def folder(tmp_path: Path) -> Seam:
    base = tmp_path / "stick"
    base.mkdir()

    def put(path: str, data: bytes) -> None:
        (base / path).parent.mkdir(parents=True, exist_ok=True)
        (base / path).write_bytes(data)

    return FolderFetcher(base), put


@pytest.fixture
def object_store(leaf: NatsServer, hub: NatsServer) -> Iterator[Seam]:
    """Written at the hub, read through a robot's leaf node."""
    loop = Loop()

    async def connect(url: str) -> Any:
        return await nats.connect(url)

    publisher, robot = loop.run(connect(hub.url)), loop.run(connect(leaf.url))

    async def bucket() -> Any:
        return await publisher.jetstream(domain=FLEET_DOMAIN).create_object_store(OTA_BUCKET)

    async def leaf_is_up() -> None:
        for _ in range(600):
            try:
                await robot.jetstream(domain=FLEET_DOMAIN, timeout=1).object_store(OTA_BUCKET)
                return
            except Exception:
                await asyncio.sleep(0.1)
        raise AssertionError("the leaf node never reached the hub")

    store = loop.run(bucket())
    loop.run(leaf_is_up())

    def put(path: str, data: bytes) -> None:
        async def write() -> None:
            await store.put(path, data)

        loop.run(write())

    yield ObjectStoreFetcher(robot.jetstream(domain=FLEET_DOMAIN), loop.loop), put
    loop.run(publisher.close())
    loop.run(robot.close())
    loop.close()


@pytest.fixture(params=["folder", "object_store"])
def seam(request: pytest.FixtureRequest) -> Seam:
    value: Seam = request.getfixturevalue(request.param)
    return value


def test_content_arrives_whole_and_in_pieces(seam: Seam) -> None:
    fetcher, put = seam
    data = bytes(range(256)) * 4096
    put("targets/controllers/motion/abc.1.wasm", data)
    pieces = list(fetcher.fetch("targets/controllers/motion/abc.1.wasm"))
    assert b"".join(pieces) == data
    assert len(pieces) > 1


def test_nothing_is_something(seam: Seam) -> None:
    fetcher, put = seam
    put("metadata/empty.json", b"")
    assert fetcher.download_bytes("metadata/empty.json", 10) == b""


def test_what_is_missing_is_a_404(seam: Seam) -> None:
    with pytest.raises(DownloadHTTPError) as caught:
        seam[0].download_bytes("metadata/2.root.json", 1000)
    assert caught.value.status_code == 404


def test_an_endless_file_is_cut_off(seam: Seam) -> None:
    fetcher, put = seam
    put("metadata/timestamp.json", b"x" * 1_000_000)
    with pytest.raises(DownloadLengthMismatchError):
        fetcher.download_bytes("metadata/timestamp.json", 16_384)
    put("metadata/timestamp.json", b"small")
    assert fetcher.download_bytes("metadata/timestamp.json", 16_384) == b"small"


def test_what_is_replaced_is_read_anew(seam: Seam) -> None:
    fetcher, put = seam
    for content in (b"one", b"two", b"three"):
        put("metadata/timestamp.json", content)
        assert fetcher.download_bytes("metadata/timestamp.json", 100) == content


@pytest.mark.parametrize("url", ["../secret", "metadata/../../secret", "/etc/passwd", "", "a\\..\\b", "a\0b"])
def test_an_address_that_leads_out_is_refused(seam: Seam, url: str) -> None:
    with pytest.raises(DownloadError, match="leads out"):
        seam[0].download_bytes(url, 1000)


def test_a_link_out_of_the_folder_is_refused(folder: Seam, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "stick" / "metadata").symlink_to(tmp_path)
    with pytest.raises(DownloadError, match="link that leads out"):
        folder[0].download_bytes("metadata/secret", 1000)


def test_a_stick_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="is not there"):
        FolderFetcher(tmp_path / "absent").download_bytes("metadata/timestamp.json", 1000)


def test_a_fleet_without_the_store_says_so(hub: NatsServer) -> None:
    loop = Loop()

    async def connect() -> Any:
        return await nats.connect(hub.url)

    client = loop.run(connect())
    try:
        fetcher = ObjectStoreFetcher(client.jetstream(domain=FLEET_DOMAIN), loop.loop)
        with pytest.raises(DownloadError, match="no object store holdfast-ota") as caught:
            fetcher.download_bytes("metadata/timestamp.json", 1000)
        assert not isinstance(caught.value, DownloadHTTPError)
    finally:
        loop.run(client.close())
        loop.close()


def test_an_object_that_lost_its_content_ends_in_a_sentence(hub: NatsServer) -> None:
    """Half a store: the description is there, the content was purged; a reader must not wait without end."""
    loop = Loop()

    async def prepare() -> Any:
        client = await nats.connect(hub.url)
        jetstream = client.jetstream(domain=FLEET_DOMAIN)
        store = await jetstream.create_object_store(OTA_BUCKET)
        info = await store.put("metadata/timestamp.json", b"content")
        await jetstream.purge_stream(f"OBJ_{OTA_BUCKET}", subject=f"$O.{OTA_BUCKET}.C.{info.nuid}")
        return client

    client = loop.run(prepare())
    try:
        fetcher = ObjectStoreFetcher(client.jetstream(domain=FLEET_DOMAIN), loop.loop, silence_s=0.2)
        with pytest.raises(DownloadError, match="cannot be read whole"):
            fetcher.download_bytes("metadata/timestamp.json", 1000)
    finally:
        loop.run(client.close())
        loop.close()


def test_a_reader_beside_a_publisher_always_gets_a_whole_timestamp(
    object_store: Seam, hub: NatsServer, repository: Repository
) -> None:
    fetcher = object_store[0]
    asyncio.run(mirror(repository, hub.url))
    seen = set()
    for _ in range(10):
        repository.refresh()
        publishing = Thread(target=lambda: asyncio.run(mirror(repository, hub.url)))
        publishing.start()
        while publishing.is_alive():
            seen.add(fetcher.download_bytes("metadata/timestamp.json", 16_384))
        publishing.join()
    assert all(content.startswith(b"{") and content.endswith(b"}") for content in seen)
    assert (repository.metadata / "timestamp.json").read_bytes() == fetcher.download_bytes(
        "metadata/timestamp.json", 16_384
    )
