"""`holdfast up --host`: the robot's own processes on this machine, without a virtual machine, in seconds.

Drives are simulated by holdfast-plant over a `unix:` link. A development machine keeps no deadlines, so the time
limits are relaxed, and what is relaxed is said.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal

import nats.errors
import nats.js.errors
import tomlkit
from nats.aio.client import Client

from holdfast.broker import Hub, RobotBroker, start_broker
from holdfast.child import Child
from holdfast.config import load_robot_config
from holdfast.errors import HoldfastError, UnreachableError
from holdfast.fleet import follow_robot
from holdfast.places import executable
from holdfast.seqpacket import Connection, ask
from holdfast.session import Report
from holdfast.target import FleetTarget, LocalTarget

_READY_S = 20.0
_STATE_AGE_MS = 500.0
_RELAXED = {
    "HOLDFAST_SAFETY__CORE_TIMEOUT_MS": "1000",
    "HOLDFAST_SAFETY__WORKER_TIMEOUT_MS": "5000",
    "HOLDFAST_CONTROL__OVERRUN_LIMIT": "1000",
    "HOLDFAST_CONTROL__OVERRUN_WINDOW": "1000",
}


class HostSession:
    """Hub, robot's broker, plant, safety daemon, core and worker as children of this process."""

    kind: Literal["host"] = "host"
    accel = "none"

    def __init__(self, robot_file: Path, logs: Path) -> None:
        self._robot_file = robot_file
        self._logs = logs
        self._directory: Path | None = None
        self._children: list[Child] = []
        self._target: LocalTarget | None = None
        self._hub: Hub | None = None
        self.robot_id = ""
        self.notes: list[str] = []

    @property
    def target(self) -> LocalTarget:
        """The robot: its sockets here, its worker through the hub."""
        assert self._target is not None, "start() first"  # noqa: S101
        return self._target

    @property
    def run_directory(self) -> Path:
        """Where the sockets are."""
        assert self._directory is not None, "start() first"  # noqa: S101
        return self._directory / "run"

    @property
    def children(self) -> dict[str, Child]:
        """The processes by name: hub, broker, holdfast-plant, holdfast-safety, holdfast-control, holdfast-worker."""
        return {child.name: child for child in self._children}

    async def start(self, report: Report) -> None:
        """Start hub, broker, plant, safety daemon, core and worker, in this order."""
        # Unix socket paths are short; a build directory may be deep.
        self._directory = Path(tempfile.mkdtemp(prefix="holdfast-"))
        self._logs.mkdir(parents=True, exist_ok=True)
        for old in self._logs.glob("*.log"):
            old.unlink()
        for name in ("run", "state"):
            (self._directory / name).mkdir()
        environment = self._environment()
        robot_file = self._derive_robot_file(self._directory / "robot.toml")
        config = load_robot_config(robot_file, environment)
        self.robot_id = config.robot.id

        report("starting the brokers")
        self._hub = Hub(self._directory / "hub")
        self._children.append(await start_broker(self._hub, self._logs / "hub.log"))
        broker = RobotBroker(self._directory / "broker", self.robot_id, self._hub.leaf_url())
        self._children.append(await start_broker(broker, self._logs / "broker.log"))
        environment |= {
            "HOLDFAST_WORKER__NATS_URL": broker.url,
            "HOLDFAST_WORKER__NATS_MONITOR_URL": broker.monitor_url,
            "HOLDFAST_CONFIG": str(robot_file),
        }
        await self.start_daemon(
            "holdfast-plant", environment, report, ["--config", robot_file], "plant-control.sock"
        )
        await self.start_daemon("holdfast-safety", environment, report, [], "safety.sock")
        await self.start_daemon("holdfast-control", environment, report, [], "control.sock")
        report("starting holdfast-worker")
        self._children.append(
            await Child.start(
                "holdfast-worker",
                [sys.executable, "-m", "holdfast.worker.main"],
                environment=environment,
                log=self._logs / "worker.log",
            )
        )
        self._target = LocalTarget(self.run_directory, FleetTarget(self._hub.url, self.robot_id))

    async def start_daemon(
        self, name: str, environment: dict[str, str], report: Report, arguments: list[str | Path], socket: str
    ) -> None:
        """Start one of the C++ daemons and wait until its socket answers."""
        report(f"starting {name}")
        log = self._logs / f"{name.removeprefix('holdfast-')}.log"
        child = await Child.start(name, [executable(name), *arguments], environment=environment, log=log)
        self._children.append(child)

        async def listens() -> bool:
            try:
                (await Connection.open(self.run_directory / socket)).close()
            except UnreachableError:
                return False
            return True

        await child.until(listens, _READY_S)

    async def wait_ready(self, timeout_s: float) -> None:
        """Wait until the worker answers over the hub, sees core and safety daemon, and the loop turns."""
        worker = self._children[-1]

        async def ready() -> bool:
            try:
                status = await FleetTarget(self._hub.url, self.robot_id).status() if self._hub else {}
            except HoldfastError:
                return False
            attached = status["worker"]["heartbeat"]["attached"] and status["worker"]["fleet_link"]
            return bool(attached) and bool(status.get("loop", {}).get("cycles"))

        await worker.until(ready, timeout_s)
        await self._gather_streams()

    async def _gather_streams(self) -> None:
        assert self._hub is not None  # noqa: S101
        client = Client()
        try:
            await client.connect(servers=[self._hub.url], allow_reconnect=False, connect_timeout=2)
            await follow_robot(client.jetstream(), self.robot_id)
            await client.close()
        except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError) as error:
            raise UnreachableError(f"the hub's streams could not be made: {error}") from error

    async def plant(self) -> dict[str, Any]:
        """Ask holdfast-plant what its drives do."""
        return await ask(self.run_directory / "plant-control.sock", {"op": "status"})

    def description(self) -> dict[str, Any]:
        """Return hub_url and run_dir."""
        return {"hub_url": self._hub.url if self._hub else "", "run_dir": str(self.run_directory)}

    async def close(self) -> None:
        """Stop worker, core, safety daemon, plant and brokers, in this order, and remove their directory."""
        for child in reversed(self._children):
            await child.stop()
        self._children.clear()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def _environment(self) -> dict[str, str]:
        assert self._directory is not None  # noqa: S101
        relaxed = {key: value for key, value in _RELAXED.items() if key not in os.environ}
        self.notes.append(
            "time limits are relaxed, because a machine without a real-time kernel keeps none: "
            + ", ".join(
                f"{key.removeprefix('HOLDFAST_').lower().replace('__', '.')} = {relaxed[key]}"
                for key in relaxed
            )
        )
        # What the caller's environment says of another robot must not leak into this one.
        inherited = {
            key: value for key, value in os.environ.items() if not key.startswith("HOLDFAST_WORKER__")
        }
        inherited.pop("NOTIFY_SOCKET", None)
        return {
            **inherited,
            **relaxed,
            "HOLDFAST_RUN_DIR": str(self._directory / "run"),
            "HOLDFAST_STATE_DIR": str(self._directory / "state"),
        }

    def _derive_robot_file(self, target: Path) -> Path:
        """Write the robot's file with links to the plant and without the demand for a real-time kernel."""
        load_robot_config(self._robot_file, {})  # a mistake in it is told with its own name and lines
        document = tomlkit.parse(self._robot_file.read_text(encoding="utf-8")).unwrap()
        for drive in document["drive"]:
            drive["link"] = "unix:plant.sock"
        document.setdefault("control", {})["realtime"] = "prefer"
        for state in document.get("state", []):
            state["max_age_ms"] = max(state["max_age_ms"], _STATE_AGE_MS)
        target.write_text(tomlkit.dumps(document), encoding="utf-8")
        self.notes.append(
            f"drives are simulated by holdfast-plant; states may be {_STATE_AGE_MS:g} ms old; realtime = prefer"
        )
        return target
