"""A fleet's hub beside the robot, in a network namespace of its own: in virtual time the guest has no other network.

A veth pair joins the two; a link that goes away is a cable pulled out, to the robot's broker.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from holdfast.broker import Hub, start_broker
from holdfast.child import Child

ADDRESS = "10.77.0.2"
_ROBOT_ADDRESS = "10.77.0.1"
_NAMESPACE = "fleet"
_CABLE = "fleet0"
_PORT = 4223
_LEAF_PORT = 7422
# Only the two ends of a cable within one machine know it.
_PASSWORD = "beside"  # noqa: S105
_STORE = Path("/var/lib/holdfast-bench")


def hub_beside(directory: Path = _STORE / "hub") -> Hub:
    """Return the hub; host and guest must name the same one."""
    return Hub(
        directory,
        leaf_seen_as=ADDRESS,
        listen=ADDRESS,
        port=_PORT,
        leaf_port=_LEAF_PORT,
        password=_PASSWORD,
    )


async def start_hub_beside() -> tuple[Hub, Child]:
    """Make the namespace and the cable, and start the hub at its far end.

    Raises:
        ChildProcessError: the kernel did not make one of them.
    """
    for command in (
        f"netns add {_NAMESPACE}",
        f"link add {_CABLE} type veth peer name eth0 netns {_NAMESPACE}",
        f"addr add {_ROBOT_ADDRESS}/24 dev {_CABLE}",
        f"link set {_CABLE} up",
        f"-n {_NAMESPACE} addr add {ADDRESS}/24 dev eth0",
        f"-n {_NAMESPACE} link set eth0 up",
        f"-n {_NAMESPACE} link set lo up",
    ):
        await _ip(*command.split())
    _STORE.mkdir(parents=True, exist_ok=True)
    hub = hub_beside()
    return hub, await start_broker(hub, _STORE / "hub.log", within=("ip", "netns", "exec", _NAMESPACE))


async def pull_cable(*, up: bool) -> None:
    """Pull the cable to the hub out, or put it in again."""
    await _ip("link", "set", _CABLE, "up" if up else "down")


async def _ip(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec("ip", *arguments, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    if process.returncode != 0:
        raise ChildProcessError(f"ip {' '.join(arguments)}: {said.decode(errors='replace').strip()}")
