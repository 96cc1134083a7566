"""The real-time scenarios' bench: a booted VmSession, driven from ordinary (synchronous) tests."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from holdfast.command import errors as terminal
from holdfast.target import FleetTarget
from holdfast_bench.facade import Console, Faults, Power
from holdfast_bench.fleet import delete_bucket, request
from holdfast_bench.guest.fleet_streams import stream_messages
from holdfast_bench.vm_session import VmSession

_READY_LIMIT_S = 600.0


class HeededPower:
    """A supply that has the robot looked at before the power is cut; one that still boots cannot be asked."""

    def __init__(self, supply: Power, look: Callable[[], None]) -> None:
        self._supply = supply
        self._look = look
        self.robot_is_up = False

    def on(self) -> None:
        """Start the robot."""
        self._supply.on()

    def off(self) -> None:
        """Shut it down in good order."""
        self.robot_is_up = False
        self._supply.off()

    def cut(self) -> None:
        """Have it looked at, then take the supply away."""
        if self.robot_is_up:
            self._look()
        self.robot_is_up = False
        self._supply.cut()


class VmBench:
    """One robot in QEMU: what the scenarios call a target."""

    def __init__(self, session: VmSession, runner: asyncio.Runner) -> None:
        self.session = session
        self.robot = session.robot
        """The robot, over its management link."""
        self.before_cut: Callable[[], None] | None = None
        """Called before the power is cut: the last chance to read what the robot has not yet written to its disk."""
        self.power = HeededPower(session.vm, self._look)
        """Its supply."""
        self._runner = runner

    @classmethod
    @contextmanager
    def booted(
        cls,
        folder: Path | None = None,
        robot_id: str = "arm-01",
        robot_file: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[Self]:
        """Build, boot and wait until the robot is ready; everything is gone afterwards."""
        session = VmSession(folder, robot_id, robot_file, environment)
        with asyncio.Runner() as runner:
            try:
                runner.run(session.start(lambda step: terminal.print(f"[dim]{step}[/dim]")))
                bench = cls(session, runner)
                bench.wait_ready()
                yield bench
            finally:
                runner.run(session.close())

    @property
    def robot_id(self) -> str:
        """Its id in the fleet."""
        return self.session.robot_id

    @property
    def console(self) -> Console:
        """Its serial console."""
        return self.session.vm.console

    @property
    def keeps_deadlines(self) -> bool:
        """QEMU in real time does not: the host stops the guest whenever it pleases, with KVM too."""
        return False

    def identity(self) -> dict[str, str]:
        """Return what exactly is tested, and on what: image, kernel, back end, commit of the sources, probe."""
        return {
            "image": self.session.vm.image.key,
            "kernel": self.robot.shell.run("uname -r").stdout.strip(),
            "back end": f"QEMU ({self.session.accel})",
            "commit": _commit(),
            "probe": "none",
        }

    @property
    def faults(self) -> Faults:
        """Faults that can be caused."""
        return self.session.vm

    def wait_ready(self) -> float:
        """Wait until the robot is ready; returns the seconds since power-on."""
        ready_s = self._runner.run(self.session.wait_ready(_READY_LIMIT_S))
        self.power.robot_is_up = True
        return ready_s

    def operator_estop(self, reason: str) -> None:
        """Stop the robot from the workstation, through the hub."""
        self._runner.run(FleetTarget(self.session.hub.url, self.robot_id).estop(reason))

    def request(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask the robot's worker something through the hub."""
        return self._runner.run(request(self.session.hub.url, f"holdfast.{self.robot_id}.{verb}", body))

    def delete_bucket(self, bucket: str) -> None:
        """Remove an object store from the hub."""
        self._runner.run(delete_bucket(self.session.hub.url, bucket))

    def fleet_messages(self, stream: str) -> list[dict[str, Any]]:
        """Return what the hub's stream holds from this robot."""
        subject = {"FLEET_TELEMETRY": "telemetry", "FLEET_RESULTS": "result"}[stream]
        return self._runner.run(
            stream_messages(self.session.hub.url, stream, f"holdfast.{self.robot_id}.{subject}")
        )

    def _look(self) -> None:
        if self.before_cut is not None:
            self.before_cut()


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "unknown: no git checkout"
