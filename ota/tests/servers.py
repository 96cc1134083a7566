"""Real nats-servers with JetStream for tests: the fleet's hub, and a robot's leaf node behind it."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from holdfast.broker import free_port

DEADLINE_S = 60.0


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition that another process brings about."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.02)


class NatsServer:
    """One nats-server; killed, not asked, when it goes: that is what a cut cable and a dead hub are."""

    def __init__(self, directory: Path, domain: str, *, leaf_of: NatsServer | None = None) -> None:
        directory.mkdir(parents=True)
        self.port = free_port()
        self.leaf_port = free_port()
        self.domain = domain
        self._directory = directory
        leaf = f'port: {self.leaf_port}, host: "127.0.0.1"'
        if leaf_of is not None:
            leaf = f'remotes: [{{url: "nats-leaf://127.0.0.1:{leaf_of.leaf_port}"}}], reconnect: 1'
        self._config = directory / "nats.conf"
        self._config.write_text(
            f'server_name: "{domain}"\nhost: "127.0.0.1"\nport: {self.port}\n'
            f'jetstream {{ domain: "{domain}", store_dir: "{directory}/js" }}\nleafnodes {{ {leaf} }}\n'
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it listens."""
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(["nats-server", "-c", self._config], stdout=log, stderr=log)
        until(self._listens, "a listening nats-server")

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "log").read_text()
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
        except OSError:
            return False
        return True
