"""NATS servers for sessions and tests: the fleet's hub, and a robot's own broker as its leaf node."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import os
import random
import secrets
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.child import Child
from holdfast.domain import jetstream_domain

_READY_S = 15.0
_LISTENING = range(20_000, 32_000)  # below Linux's range for outgoing connections
_given: deque[int] = deque(maxlen=1000)


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that nobody uses at this moment, and that the kernel gives to no outgoing connection.

    It gives none again within a thousand: a session chooses several before the first server listens.

    Raises:
        OSError: there is none.
    """
    for port in random.sample(_LISTENING, len(_LISTENING)):
        if port not in _given:
            with contextlib.suppress(OSError), socket.create_server((host, port)):
                _given.append(port)
                return port
    raise OSError(errno.EADDRINUSE, f"no free port on {host} from {_LISTENING[0]} to {_LISTENING[-1]}")


@dataclass(frozen=True)
class Hub:
    """The fleet's side: clients outside the robots, and the leaf nodes that robots open to it."""

    directory: Path
    leaf_seen_as: str = "127.0.0.1"
    """This host as the robots see it; virtual machines reach it under another address."""
    listen: str = "127.0.0.1"
    """The address on which it listens."""
    port: int = field(default_factory=free_port)
    leaf_port: int = field(default_factory=free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    @property
    def url(self) -> str:
        """Address for clients."""
        return f"nats://fleet:{self.password}@{self.listen}:{self.port}"

    @property
    def leaf_url(self) -> str:
        """Address for a robot's leaf node."""
        return f"nats-leaf://robot:{self.password}@{self.leaf_seen_as}:{self.leaf_port}"

    def configuration(self) -> str:
        """Return the server's configuration file."""
        return f"""\
server_name: holdfast-hub
listen: "{self.listen}:{self.port}"
max_payload: 8MB
ping_interval: "5s"
ping_max: 2
authorization {{ user: fleet, password: {json.dumps(self.password)} }}
# More than gather() reserves; the default is a share of what the disk has free, which may be less.
jetstream {{ domain: fleet, store_dir: {json.dumps(str(self.directory / "jetstream"))}, max_file_store: 4GB }}
leafnodes {{
  listen: "{self.listen}:{self.leaf_port}"
  # Without it robots are told the listening address, and try it in turn with the one that they know.
  advertise: "{self.leaf_seen_as}:{self.leaf_port}"
  # An emulated robot takes longer than the second that is the default.
  authorization {{ user: robot, password: {json.dumps(self.password)}, timeout: 15 }}
}}
"""


@dataclass(frozen=True)
class RobotBroker:
    """A robot's own broker: JetStream in a domain of its own, and a leaf node to the hub when there is one."""

    directory: Path
    robot: str
    leaf_url: str | None = None
    listen: str = "127.0.0.1"
    """The address on which it listens: nobody outside the robot speaks to it (decision 0005)."""
    program: str | Path = "nats-server"
    """What runs it: an older one than the streams were written by may not read them."""
    port: int = field(default_factory=free_port)
    monitor_port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Address for clients on the robot."""
        return f"nats://{self.listen}:{self.port}"

    @property
    def monitor_url(self) -> str:
        """Address of the monitoring pages."""
        return f"http://{self.listen}:{self.monitor_port}"

    def configuration(self) -> str:
        """Return the server's configuration file."""
        remotes = f"{{ url: {json.dumps(self.leaf_url)} }}" if self.leaf_url else ""
        domain = jetstream_domain(self.robot, self.directory)
        return f"""\
server_name: {json.dumps(f"holdfast-{self.robot}")}
listen: "{self.listen}:{self.port}"
http: "{self.listen}:{self.monitor_port}"
max_payload: 8MB
ping_interval: "5s"
ping_max: 2
jetstream {{ domain: {json.dumps(domain)}, store_dir: {json.dumps(str(self.directory / "jetstream"))} }}
leafnodes {{ reconnect: 1, remotes: [ {remotes} ] }}
"""


async def start_broker(server: Hub | RobotBroker, log: Path, within: Sequence[str] = ()) -> Child:
    """Write the configuration, start nats-server and wait until it takes clients.

    `within` is a command that runs it somewhere else, as in a network namespace.

    Raises:
        ConfigError: nats-server is not installed.
        UnreachableError: it did not start.
    """
    server.directory.mkdir(parents=True, exist_ok=True)
    file = server.directory / "nats-server.conf"
    file.touch(mode=0o600)
    file.write_text(server.configuration(), encoding="utf-8")
    name = "nats-server (hub)" if isinstance(server, Hub) else "nats-server (robot)"
    program = server.program if isinstance(server, RobotBroker) else "nats-server"
    child = await Child.start(name, [*within, program, "-c", file], environment=os.environ, log=log)

    async def answers() -> bool:
        try:
            reader, writer = await asyncio.open_connection(server.listen, server.port)
        except OSError:
            return False
        greeting = await reader.readline()
        writer.close()
        return greeting.startswith(b"INFO ")

    try:
        await child.until(answers, _READY_S)
    except BaseException:
        await child.stop()
        raise
    return child
