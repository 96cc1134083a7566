"""`holdfast up --host`: the robot's own processes on this machine, without a virtual machine, in seconds.

Drives are simulated by holdfast-plant over a `unix:` link. A development machine keeps no deadlines, so the time
limits are relaxed, and what is relaxed is said.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import tomlkit

from holdfast.broker import Hub, RobotBroker, start_broker
from holdfast.child import Child
from holdfast.config import load_robot_config
from holdfast.errors import UnreachableError
from holdfast.fleet import gather, is_ready
from holdfast.places import executable
from holdfast.seqpacket import Connection, ask
from holdfast.session import RELAXED, Report, in_words
from holdfast.target import FleetTarget, LocalTarget

_READY_S = 20.0
_STATE_AGE_MS = 3000.0
_HEARTBEAT_MS = 1000.0
_INPUT_AGE_MS = 3000.0
# A Unix socket takes ten waiting frames (net.unix.max_dgram_qlen), and a drive reports up to two at once.
_DEVICES_PER_SOCKET = 4


class HostSession:
    """Hub, robot's broker, plant, safety daemon, core and worker as children of this process."""

    accel = "none"

    def __init__(
        self,
        robot_file: Path,
        logs: Path,
        directory: Path | None = None,
        broker_program: str | Path = "nats-server",
    ) -> None:
        """Run the robot of `robot_file`; without a `directory` of its own it forgets everything at the end.

        `broker_program` runs the robot's own broker: that of an image, where the streams come from a robot of it.
        """
        self._robot_file = robot_file
        self._broker_program = broker_program
        self._logs = logs
        self._kept = directory is not None
        self._started = time.monotonic()
        # Unix socket paths are short; a build directory may be deep.
        self._directory = directory or Path(tempfile.mkdtemp(prefix="holdfast-"))
        self._environment: dict[str, str] = {}
        self._hub = Hub(self._directory / "hub")
        self._broker: RobotBroker | None = None
        self.children: dict[str, Child] = {}
        """The processes by name: hub, broker, plant, safety, control, worker."""
        self.robot_id = ""
        self.notes: list[str] = []

    @property
    def kind(self) -> Literal["host", "vm"]:
        """Return "host"."""
        return "host"

    @property
    def hub(self) -> Hub:
        """The fleet's broker."""
        return self._hub

    @property
    def broker_url(self) -> str:
        """Address of the robot's own broker."""
        assert self._broker is not None, "start() first"  # noqa: S101
        return self._broker.url

    @property
    def run_directory(self) -> Path:
        """Where the sockets are."""
        return self._directory / "run"

    @property
    def state_directory(self) -> Path:
        """Where the robot keeps what survives a power cut."""
        return self._directory / "state"

    @property
    def target(self) -> LocalTarget:
        """The robot: its sockets here, its worker through the hub."""
        return LocalTarget(self.run_directory, FleetTarget(self._hub.url, self.robot_id))

    async def start(self, report: Report) -> None:
        """Start hub, broker, plant, safety daemon, core and worker, in this order."""
        self._logs.mkdir(parents=True, exist_ok=True)
        for old in self._logs.glob("*.log"):
            old.unlink()
        for place in (self.run_directory, self.state_directory):
            place.mkdir(parents=True, exist_ok=True)
        self._relax()
        robot_file = self._derive_robot_file(self._directory / "robot.toml")
        self.robot_id = load_robot_config(robot_file, self._environment).robot.id
        self._broker = RobotBroker(
            self._directory / "broker", self.robot_id, self._hub.leaf_url, program=self._broker_program
        )
        self._environment |= {
            "HOLDFAST_CONFIG": str(robot_file),
            "HOLDFAST_WORKER__NATS_URL": self._broker.url,
            "HOLDFAST_WORKER__NATS_MONITOR_URL": self._broker.monitor_url,
        }
        for name in ("hub", "broker", "plant", "safety", "control", "worker"):
            report(f"starting {name}")
            await self.start_part(name)

    async def start_part(self, name: str) -> None:
        """Start one of the parts, for the first time or again after it was killed."""
        log = self._logs / f"{name}.log"
        if name == "hub":
            self.children[name] = await start_broker(self._hub, log)
        elif name == "broker":
            assert self._broker is not None, "start() first"  # noqa: S101
            self.children[name] = await start_broker(self._broker, log)
        elif name == "worker":
            command: list[str | Path] = [sys.executable, "-m", "holdfast.worker.main"]
            self.children[name] = await Child.start(name, command, environment=self._environment, log=log)
        else:
            await self._start_daemon(name, log)

    async def _start_daemon(self, name: str, log: Path) -> None:
        """Start one of the C++ daemons and wait until its socket answers."""
        program = executable(f"holdfast-{name}")
        arguments = ["--config", self._environment["HOLDFAST_CONFIG"]]
        child = await Child.start(name, [program, *arguments], environment=self._environment, log=log)
        self.children[name] = child
        socket = "plant-control.sock" if name == "plant" else f"{name}.sock"

        async def listens() -> bool:
            try:
                (await Connection.open(self.run_directory / socket)).close()
            except UnreachableError:
                return False
            return True

        await child.until(listens, _READY_S)

    async def wait_ready(self, timeout_s: float) -> float:
        """Wait until the worker answers over the hub, sees core and safety daemon, and the loop turns."""

        async def ready() -> bool:
            return await is_ready(self._hub.url, self.robot_id)

        await self.children["worker"].until(ready, timeout_s)
        ready_s = time.monotonic() - self._started
        await gather(self._hub.url, self.robot_id)
        return ready_s

    async def plant(self) -> dict[str, Any]:
        """Ask holdfast-plant what its drives do."""
        return await ask(self.run_directory / "plant-control.sock", {"op": "status"})

    def description(self) -> dict[str, Any]:
        """Return hub_url and run_dir."""
        return {"hub_url": self._hub.url, "run_dir": str(self.run_directory)}

    async def close(self) -> None:
        """Stop worker, core, safety daemon, plant and brokers, in this order, and remove their directory."""
        for child in reversed(list(self.children.values())):
            await child.stop()
        self.children.clear()
        if not self._kept:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _relax(self) -> None:
        relaxed = {key: value for key, value in RELAXED.items() if key not in os.environ}
        self.notes.append(
            f"time limits are relaxed, because a machine without a real-time kernel keeps none: {in_words(relaxed)}"
        )
        # What the caller's environment says of another robot must not leak into this one.
        inherited = {
            key: value for key, value in os.environ.items() if not key.startswith("HOLDFAST_WORKER__")
        }
        inherited.pop("NOTIFY_SOCKET", None)
        self._environment = {
            **inherited,
            **relaxed,
            "HOLDFAST_RUN_DIR": str(self.run_directory),
            "HOLDFAST_STATE_DIR": str(self.state_directory),
        }

    def _derive_robot_file(self, target: Path) -> Path:
        """Write the robot's file with links to the plant and without the demand for a real-time kernel."""
        load_robot_config(self._robot_file, {})  # a mistake in it is told with its own name and lines
        document = tomlkit.parse(self._robot_file.read_text(encoding="utf-8")).unwrap()
        # Devices that share a link share sockets, of this link only: a node number belongs to its link.
        sockets: dict[tuple[str, int], str] = {}
        on_link: Counter[str] = Counter()
        for device in [*document["drive"], *document.get("sensor", [])]:
            link = device["link"]
            key = (link, on_link[link] // _DEVICES_PER_SOCKET)
            on_link[link] += 1
            number = str(len(sockets)) if sockets else ""
            device["link"] = sockets.setdefault(key, f"unix:plant{number}.sock")
        for drive in document["drive"]:
            drive["heartbeat_ms"] = max(drive.get("heartbeat_ms", 0), _HEARTBEAT_MS)
        document.pop("link", None)
        document.setdefault("control", {})["realtime"] = "prefer"
        for state in document.get("state", []):
            state["max_age_ms"] = max(state["max_age_ms"], _STATE_AGE_MS)
        for channel in document.get("input", []):
            channel["max_age_ms"] = max(channel["max_age_ms"], _INPUT_AGE_MS)
        target.write_text(tomlkit.dumps(document), encoding="utf-8")
        self.notes.append(
            f"drives are simulated by holdfast-plant; states may be {_STATE_AGE_MS:g} ms old, inputs "
            f"{_INPUT_AGE_MS:g} ms, heartbeats {3 * _HEARTBEAT_MS:g} ms; realtime = prefer"
        )
        return target
