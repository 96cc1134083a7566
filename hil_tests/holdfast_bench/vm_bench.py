"""The real-time scenarios' bench: a booted VmSession, driven from ordinary (synchronous) tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from holdfast.command import errors as terminal
from holdfast.target import FleetTarget
from holdfast_bench.bench import Bench
from holdfast_bench.fleet import delete_bucket, request
from holdfast_bench.guest.fleet_streams import stream_messages
from holdfast_bench.qemu import Vm
from holdfast_bench.vm_session import HOST_FROM_INSIDE, VmSession

_READY_LIMIT_S = 600.0


class VmBench(Bench):
    """One robot in a virtual machine, and its fleet's hub."""

    # The host stops the guest whenever it pleases, with KVM too.
    keeps_deadlines = False

    def __init__(self, session: VmSession, runner: asyncio.Runner) -> None:
        super().__init__(session.robot, session.vm, session.vm.console, session.vm)
        self._session = session
        self._runner = runner

    @classmethod
    @contextmanager
    def booted(
        cls,
        folder: Path | None = None,
        robot_id: str = "arm-01",
        robot_file: Path | None = None,
        environment: Mapping[str, str] | None = None,
        machine: Callable[..., Vm] = Vm,
        *,
        saved: bool = False,
        board: str = "qemu-x86-64",
        with_ollama: bool = False,
    ) -> Iterator[Self]:
        """Build, boot or go on from a saved state, wait until the robot is ready; everything is gone afterwards."""
        session = VmSession(
            folder,
            robot_id,
            robot_file,
            environment,
            machine,
            saved=saved,
            board=board,
            with_ollama=with_ollama,
        )
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
        return self._session.robot_id

    @property
    def hub_url(self) -> str:
        """The fleet's hub, for clients on this machine."""
        return self._session.hub.url

    @property
    def hub_url_inside(self) -> str:
        """The fleet's hub, for clients on the robot."""
        return self.hub_url.replace(f"@{self._session.hub.listen}:", f"@{HOST_FROM_INSIDE}:")

    def wait_for_unit(self, unit: str) -> None:
        """Wait until a unit of the robot is active."""
        self._session.vm.wait_for_unit(unit)

    def operator_estop(self, reason: str) -> None:
        """Stop the robot from the workstation, through the hub."""
        self._runner.run(FleetTarget(self.hub_url, self.robot_id).estop(reason))

    def request(self, verb: str, body: dict[str, Any]) -> dict[str, Any]:
        """Ask the robot's worker something through the hub."""
        return self._runner.run(request(self.hub_url, f"holdfast.{self.robot_id}.{verb}", body))

    def delete_bucket(self, bucket: str) -> None:
        """Remove an object store from the hub."""
        self._runner.run(delete_bucket(self.hub_url, bucket))

    def fleet_messages(self, stream: str) -> list[dict[str, Any]]:
        """Return what the hub's stream holds from this robot."""
        subject = {"FLEET_TELEMETRY": "telemetry", "FLEET_RESULTS": "result"}[stream]
        return self._runner.run(stream_messages(self.hub_url, stream, f"holdfast.{self.robot_id}.{subject}"))

    def _until_ready(self) -> float:
        return self._runner.run(self._session.wait_ready(_READY_LIMIT_S))

    def _image(self) -> str:
        return self._session.vm.image.key

    def _back_end(self) -> str:
        return self._session.vm.back_end
