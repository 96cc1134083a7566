"""The real-time scenarios' bench: a booted VmSession, driven from ordinary (synchronous) tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from holdfast.command import errors as terminal
from holdfast.target import FleetTarget
from holdfast_bench.facade import Faults, Power
from holdfast_bench.fleet import delete_bucket, request, stream_messages
from holdfast_bench.qemu import Vm
from holdfast_bench.vm_session import VmSession

_READY_LIMIT_S = 600.0


class VmBench:
    """One robot in QEMU: what the scenarios call a target."""

    def __init__(self, session: VmSession, runner: asyncio.Runner) -> None:
        self.session = session
        self.robot = session.robot
        """The robot, over its management link."""
        self._runner = runner

    @classmethod
    @contextmanager
    def booted(
        cls, folder: Path | None = None, robot_id: str = "arm-01", machine: Callable[..., Vm] = Vm
    ) -> Iterator[Self]:
        """Build, boot and wait until the robot is ready; everything is gone afterwards."""
        session = VmSession(folder, robot_id, machine=machine)
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
    def power(self) -> Power:
        """Its supply."""
        return self.session.vm

    @property
    def faults(self) -> Faults:
        """Faults that can be caused."""
        return self.session.vm

    def wait_ready(self) -> float:
        """Wait until the robot is ready; returns the seconds since power-on."""
        return self._runner.run(self.session.wait_ready(_READY_LIMIT_S))

    def wait_for_unit(self, unit: str) -> None:
        """Wait until a unit of the robot is active.

        Raises:
            MachineError: it does not become so; the message names what failed.
        """
        self.session.vm.wait_for_unit(unit)

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
