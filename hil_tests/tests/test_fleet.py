"""What the bench reads from a hub: all of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import nats
import pytest

from holdfast.broker import Hub, start_broker
from holdfast.errors import UnreachableError
from holdfast_bench.guest.fleet_streams import stream_messages
from holdfast_bench.vm_session import wait_for_answer

STREAM = "FLEET_TELEMETRY"
TOLD_AT_MOST_UNACKNOWLEDGED = 1000


def test_more_messages_are_read_than_a_consumer_gets_unacknowledged(tmp_path: Path) -> None:
    sent = TOLD_AT_MOST_UNACKNOWLEDGED + 1

    async def scenario() -> list[dict[str, Any]]:
        hub = Hub(tmp_path / "hub")
        server = await start_broker(hub, tmp_path / "hub.log")
        try:
            client = await nats.connect(hub.url)
            jetstream = client.jetstream()
            await jetstream.add_stream(name=STREAM, subjects=["robots.*"])
            for seq in range(sent):
                await jetstream.publish("robots.arm-01", json.dumps({"seq": seq}).encode())
            await jetstream.publish("robots.arm-02", b"{}")
            await client.close()
            return await stream_messages(hub.url, STREAM, "robots.arm-01")
        finally:
            await server.stop()

    assert [message["seq"] for message in asyncio.run(scenario())] == list(range(sent))


def test_a_robot_that_does_not_come_into_its_fleet_is_told_in_a_sentence(tmp_path: Path) -> None:
    async def wait() -> None:
        hub = Hub(tmp_path / "hub")
        server = await start_broker(hub, tmp_path / "hub.log")
        try:
            await wait_for_answer(hub.url, "arm-01", 0.5)
        finally:
            await server.stop()

    with pytest.raises(UnreachableError, match=r"^arm-01 is not ready: within 0\.5 s no worker"):
        asyncio.run(wait())
