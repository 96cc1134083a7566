"""What arrived at the fleet's hub."""

from __future__ import annotations

import json
from typing import Any

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

_BATCH = 500
_FETCH_S = 2.0


async def stream_messages(hub_url: str, stream: str, subject: str) -> list[dict[str, Any]]:
    """Return every message of a hub's stream with this subject, oldest first; empty without the stream."""
    client = await nats.connect(hub_url, allow_reconnect=False)
    try:
        jetstream = client.jetstream()
        try:
            waiting = (await jetstream.stream_info(stream)).state.messages
        except NotFoundError:
            return []
        subscription = await jetstream.pull_subscribe(
            subject,
            stream=stream,
            # Nothing is acknowledged here: a consumer that waited for that would end after its first 1,000 messages.
            config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE),
        )
        messages: list[dict[str, Any]] = []
        while len(messages) < waiting:
            try:
                batch = await subscription.fetch(min(_BATCH, waiting - len(messages)), timeout=_FETCH_S)
            except TimeoutError:
                break  # other subjects' messages were counted too
            messages.extend(json.loads(message.data) for message in batch)
        await subscription.unsubscribe()
        return messages
    finally:
        await client.close()
