"""What the bench reads from a hub: all of it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import nats

from holdfast.broker import Hub, start_broker
from holdfast_bench.guest.fleet_streams import stream_messages

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
