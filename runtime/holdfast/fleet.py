"""The fleet's side of a robot's streams: the hub gathers telemetry and results from each robot's domain.

The hub's streams source from the robots', so nothing is lost while a robot is away, as long as its own buffer lasts.
"""

from __future__ import annotations

import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, ExternalStream, StorageType, StreamConfig, StreamSource

_MEBIBYTE = 1 << 20
_STREAMS = {"FLEET_TELEMETRY": "TELEMETRY", "FLEET_RESULTS": "RESULTS"}


async def follow_robot(hub: JetStreamContext, robot: str, *, max_mb: int = 1024) -> None:
    """Make the hub's streams FLEET_TELEMETRY and FLEET_RESULTS source from this robot too."""
    for name, origin in _STREAMS.items():
        source = StreamSource(
            name=origin, external=ExternalStream(api=f"$JS.{robot}.API", deliver=f"holdfast.follow.{robot}")
        )
        try:
            config = (await hub.stream_info(name)).config
        except nats.js.errors.NotFoundError:
            await hub.add_stream(
                StreamConfig(
                    name=name,
                    storage=StorageType.FILE,
                    discard=DiscardPolicy.OLD,
                    max_bytes=max_mb * _MEBIBYTE,
                    sources=[source],
                )
            )
            continue
        followed = {known.external.api for known in config.sources or [] if known.external}
        if f"$JS.{robot}.API" not in followed:
            await hub.update_stream(config.evolve(sources=[*(config.sources or []), source]))
