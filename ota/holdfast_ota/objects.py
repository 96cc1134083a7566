"""Reads objects of a JetStream object store, chunk by chunk and with a time limit on silence.

nats-py's own reader waits without end when an object is replaced between its look-up and its reading, and it
counts on message addresses without a JetStream domain; a robot reads across one and must never hang.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncGenerator

from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.errors import BadObjectMetaError

OTA_BUCKET = "holdfast-ota"
FLEET_DOMAIN = "fleet"
SILENCE_S = 5.0


class TornReadError(Exception):
    """An object changed while it was read, or stopped half-way; reading it again is the mend."""


async def read_object(
    jetstream: JetStreamContext, bucket: str, name: str, *, silence_s: float = SILENCE_S
) -> AsyncGenerator[bytes, None]:
    """Yield the chunks of an object.

    Raises:
        nats.js.errors.NotFoundError: no such bucket, or (ObjectNotFoundError) no such object.
        TornReadError: the object was replaced meanwhile, is damaged, or the server fell silent for
        `silence_s`.
    """
    store = await jetstream.object_store(bucket)
    info = await store.get_info(name)
    if not info.nuid or info.size is None or not info.digest:
        raise BadObjectMetaError
    if not info.size:
        return
    subscription = await jetstream.subscribe(f"$O.{bucket}.C.{info.nuid}", ordered_consumer=True)
    digest = hashlib.sha256()
    received = 0
    try:
        while received < info.size:
            message = await subscription.next_msg(timeout=silence_s)
            received += len(message.data)
            digest.update(message.data)
            yield message.data
    except NatsTimeoutError as error:
        raise TornReadError(f"{name} broke off after {received} of {info.size} bytes") from error
    finally:
        await subscription.unsubscribe()
    if base64.urlsafe_b64encode(digest.digest()).decode() != info.digest.partition("=")[2]:
        raise TornReadError(f"{name} does not have the digest that the store keeps for it")
