"""The fleet's side in the bench: what is asked through the hub."""

from __future__ import annotations

import json
from typing import Any

import nats
import nats.errors
from nats.js.errors import NotFoundError

from holdfast_bench.result import BenchError

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
