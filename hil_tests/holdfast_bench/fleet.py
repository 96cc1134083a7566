"""The fleet's side in the bench: what arrived at the hub, and what is asked through it."""

from __future__ import annotations

import json
from typing import Any

import nats
import nats.errors
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from holdfast_bench.result import BenchError

_BATCH = 500
_FETCH_S = 2.0
_REQUEST_S = 120.0


async def request(hub_url: str, subject: str, body: dict[str, Any]) -> dict[str, Any]:
    """Make one request through the hub.

    Raises:
        BenchError: nobody answered.
    """
    client = await nats.connect(hub_url, allow_reconnect=False)
    try:
        reply = await client.request(subject, json.dumps(body).encode(), timeout=_REQUEST_S)
    except (nats.errors.Error, TimeoutError) as error:
        raise BenchError(f"nobody answered {subject}: {error!r}") from error
    finally:
        await client.close()
    answer: dict[str, Any] = json.loads(reply.data)
    return answer


async def delete_bucket(hub_url: str, bucket: str) -> None:
    """Remove an object store from the hub, if there is one."""
    client = await nats.connect(hub_url, allow_reconnect=False)
    try:
        await client.jetstream().delete_object_store(bucket)
    except NotFoundError:
        pass
    finally:
        await client.close()


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
