"""The fleet's side of a robot's streams: the hub gathers telemetry and results from each robot's domain.

The hub's streams source from the robots', so nothing is lost while a robot is away, as long as its own buffer lasts.
"""

from __future__ import annotations

from typing import Any

import nats
import nats.errors
import nats.js.errors
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, ExternalStream, StorageType, StreamConfig, StreamSource

from holdfast.errors import HoldfastError, UnreachableError
from holdfast.target import FleetTarget

_MEBIBYTE = 1 << 20
_MAX_MB = 1024
_STREAMS = {"FLEET_TELEMETRY": "TELEMETRY", "FLEET_RESULTS": "RESULTS"}


async def is_ready(hub_url: str, robot: str) -> bool:
    """Whether the robot answers through the hub, is attached and connected, and its loop turns."""
    try:
        status = await FleetTarget(hub_url, robot).status()
    except HoldfastError:
        return False
    worker = status["worker"]
    member = worker["heartbeat"]["attached"] and worker["fleet_link"] and worker["jetstream_domain"]
    return bool(member) and bool(status.get("loop", {}).get("cycles"))


async def gather(hub_url: str, robot: str, *, check_only: bool = False) -> tuple[dict[str, Any], bool]:
    """Make the hub's streams FLEET_TELEMETRY and FLEET_RESULTS gather from the robot that has this id now.

    A robot that was flashed anew has another JetStream domain; what the hub gathered from the old one stays.
    Returns the robot's status, and whether the hub had to be changed; with `check_only` it is left as it is.

    Raises:
        HoldfastError: the hub or the robot cannot be reached.
    """
    status = await FleetTarget(hub_url, robot).status()
    domain = status["worker"].get("jetstream_domain")
    if domain is None:
        raise UnreachableError(
            f"{robot} has no streams yet; its own broker starts. Try again in some seconds"
        )
    try:
        client = await nats.connect(hub_url, allow_reconnect=False, connect_timeout=5)
        try:
            hub = client.jetstream()
            changes = [await _gather(hub, name, robot, domain, check_only) for name in _STREAMS]
        finally:
            await client.close()
    except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError) as error:
        raise UnreachableError(f"the hub's streams could not be made: {error}") from error
    return status, any(changes)


async def _gather(hub: JetStreamContext, name: str, robot: str, domain: str, check_only: bool) -> bool:
    """Bring one of the hub's streams up to date; returns whether it was not."""
    follower = f"holdfast.follow.{robot}"
    source = StreamSource(
        name=_STREAMS[name],
        external=ExternalStream(api=f"$JS.{domain}.API", deliver=follower),
    )
    try:
        config = (await hub.stream_info(name)).config
    except nats.js.errors.NotFoundError:
        if not check_only:
            await hub.add_stream(
                StreamConfig(
                    name=name,
                    storage=StorageType.FILE,
                    discard=DiscardPolicy.OLD,
                    max_bytes=_MAX_MB * _MEBIBYTE,
                    sources=[source],
                )
            )
        return True
    sources = config.sources or []
    if source.external in [old.external for old in sources]:
        return False
    others = [old for old in sources if not (old.external and old.external.deliver == follower)]
    if not check_only:
        await hub.update_stream(config.evolve(sources=[*others, source]))
    return True
