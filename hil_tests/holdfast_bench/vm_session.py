"""A robot in a virtual machine with its fleet's hub: what `holdfast up` and the real-time scenarios run on."""

from __future__ import annotations

import asyncio
import base64
import shlex
import shutil
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from holdfast.broker import Hub, start_broker
from holdfast.child import Child
from holdfast.errors import UnreachableError
from holdfast.fleet import gather, is_ready
from holdfast.session import RELAXED, Report, env_lines, in_words
from holdfast.target import MachineTarget
from holdfast_bench.qemu import Vm
from holdfast_bench.qemu.accelerator import choose_accelerator
from holdfast_bench.qemu.saved_state import SavedState, saved_state
from holdfast_bench.result import BenchError
from holdfast_bench.robot import Robot
from holdfast_image.build import Image, build_image, repository_root
from holdfast_image.errors import ImageError
from holdfast_image.guest.firstboot import fleet_configuration
from holdfast_image.progress import Steps

HOST_FROM_INSIDE = "10.0.3.2"
_POLL_S = 0.5
# Emulated, each wake of a loop costs a hundred times as much: at 1 kHz core, safety daemon and plant starve the rest.
SLOWER = {
    "HOLDFAST_CONTROL__TIER1_HZ": "100",
    "HOLDFAST_CONTROL__CONTROLLER_HZ": "50",
    "HOLDFAST_CONTROL__SAFETY_SILENT_CYCLES": "300",
}
_BOOT_LIMIT_S = 600.0
_WAY_INTO_THE_FLEET = "journalctl --quiet --boot --lines 15" + "".join(
    f" --unit holdfast-{part}" for part in ("nats", "worker", "control")
)


def booted_state(
    image: Image, accelerator: str, credentials: Mapping[str, str], folder: Path, report: Report
) -> SavedState:
    """Return a state of the robot booted outside of every fleet, from which machines go on."""

    def boot_and_save(target: Path) -> None:
        report(f"booting under QEMU ({accelerator}) once, to be saved: later runs begin there")
        with Vm(image, folder / "first", credentials=credentials) as vm:
            vm.on()
            vm.wait_for_unit("holdfast.target", _BOOT_LIMIT_S)
            vm.save(target)

    waiting = "another run boots a robot to be saved; waiting for it"
    return saved_state(image, accelerator, credentials, boot_and_save, lambda: report(waiting))


def join_fleet(vm: Vm, leaf_url: str) -> None:
    """Tell a robot that goes on from a saved state what time it is and which fleet it belongs to."""
    configuration = base64.b64encode(fleet_configuration(leaf_url).encode()).decode()
    vm.wait_for_unit("holdfast.target", _BOOT_LIMIT_S)
    vm.shell.run(
        f"date --utc --set=@{time.time():.3f} && umask 077 && "
        f"echo {configuration} | base64 -d > /etc/holdfast/fleet.conf && sync && systemctl restart holdfast-nats"
    )


async def wait_for_answer(hub_url: str, robot_id: str, timeout_s: float) -> None:
    """Wait until a robot's worker answers through the hub and its loop turns.

    Raises:
        UnreachableError: not within `timeout_s`.
    """
    try:
        async with asyncio.timeout(timeout_s):
            while not await is_ready(hub_url, robot_id):
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        raise UnreachableError(
            f"{robot_id} is not ready: within {timeout_s:g} s no worker that is in the fleet and whose loop turns "
            "answered through the hub"
        ) from None


class VmSession:
    """Hub on this machine, robot in QEMU. A session of `holdfast up`; the bench drives the same object."""

    kind: Literal["vm"] = "vm"

    def __init__(
        self,
        folder: Path | None = None,
        robot_id: str = "arm-01",
        robot_file: Path | None = None,
        environment: Mapping[str, str] | None = None,
        machine: Callable[..., Vm] = Vm,
        *,
        saved: bool = False,
        board: str = "qemu-x86-64",
        with_ollama: bool = False,
    ) -> None:
        """Run the image's example robot, or the one of `robot_file`, under the id `robot_id`.

        `environment` is more for its daemons than what an emulator makes necessary; `machine` makes the machine.
        The image is that of `board`, if asked with Ollama.
        With `saved` the robot goes on from a state in which it had booted; the first run makes that state.
        """
        self._saved = saved
        self._board = board
        self._with_ollama = with_ollama
        self._environment = dict(environment or {})
        self._machine = machine
        self._robot_file = robot_file
        self._folder = (folder or repository_root() / "build" / "vm").absolute()
        self.robot_id = robot_id
        self.notes: list[str] = []
        self._hub: Hub | None = None
        self._hub_process: Child | None = None
        self._vm: Vm | None = None
        self._robot: Robot | None = None

    @property
    def robot(self) -> Robot:
        """The robot, over its management link."""
        assert self._robot is not None, "start() first"  # noqa: S101
        return self._robot

    @property
    def vm(self) -> Vm:
        """The machine."""
        assert self._vm is not None, "start() first"  # noqa: S101
        return self._vm

    @property
    def hub(self) -> Hub:
        """The fleet's hub."""
        assert self._hub is not None, "start() first"  # noqa: S101
        return self._hub

    @property
    def accel(self) -> str:
        """What runs the instructions: "kvm" or "tcg"."""
        return self.vm.accelerator

    @property
    def target(self) -> MachineTarget:
        """The robot: requests through the hub, local acts by ssh."""
        return MachineTarget(self.hub.url, self.robot_id, self.description()["ssh"])

    async def start(self, report: Report) -> None:
        """Build the image if needed, start the hub, switch the machine on.

        Raises:
            HoldfastError: one of them could not be done; the sentence says how to mend it.
        """
        report("image (cached if nothing changed)")
        try:
            image = await asyncio.to_thread(
                build_image, repository_root(), self._board, steps=Steps(), with_ollama=self._with_ollama
            )
            # What an earlier robot of this id answered is not this one's.
            shutil.rmtree(self._folder / "hub", ignore_errors=True)
            self._hub = Hub(self._folder / "hub", leaf_seen_as=HOST_FROM_INSIDE)
            self._hub_process = await start_broker(self._hub, self._log("hub.log"))
            accelerator = await asyncio.to_thread(choose_accelerator, image)
            environment = RELAXED | (SLOWER if accelerator != "kvm" else {}) | self._environment
            credentials = {"holdfast.robot-id": self.robot_id, "holdfast.env": env_lines(environment)}
            if self._robot_file is not None:
                credentials["holdfast.robot-toml"] = self._robot_file.read_text(encoding="utf-8")
            make = partial(self._machine, image, self._folder / "machine")
            if self._saved:
                state = await asyncio.to_thread(
                    booted_state, image, accelerator, credentials, self._folder, report
                )
                make = partial(make, start_from=state)
            vm = make(credentials={**credentials, "holdfast.fleet-url": self._hub.leaf_url})
            await asyncio.to_thread(vm.__enter__)
            self._vm = vm
            self._robot = Robot(vm.shell)
            self.notes.append(
                f"QEMU ({vm.accelerator}) keeps no deadlines in real time, so limits and rates are relaxed ("
                f"{in_words(environment)}); "
                "`holdfast bench run deadlines --virtual-time` shows the exact ones at 1 kHz"
            )
            report(f"{'going on' if self._saved else 'booting'} under QEMU ({vm.accelerator})")
            await asyncio.to_thread(vm.on)
            if self._saved:
                await asyncio.to_thread(join_fleet, vm, self._hub.leaf_url)
        except (ImageError, BenchError) as error:
            raise UnreachableError(str(error)) from error

    async def wait_ready(self, timeout_s: float) -> float:
        """Wait for holdfast.target and the worker's answer through the hub; returns seconds from power-on.

        Raises:
            UnreachableError: either is not there within `timeout_s`; says which, and where to look.
        """
        try:
            await asyncio.to_thread(self.vm.wait_for_unit, "holdfast.target", timeout_s)
        except BenchError as error:
            raise UnreachableError(str(error)) from error
        try:
            await wait_for_answer(self.hub.url, self.robot_id, timeout_s)
        except UnreachableError as error:
            said = await asyncio.to_thread(self._last_words)
            logs = f"{self._log('hub.log')} and {self.vm.folder / 'console.log'}"
            raise UnreachableError(f"{error}; on the robot:\n{said}\nsee also {logs}") from error
        ready_s = self.vm.on_for_s
        await gather(self.hub.url, self.robot_id)
        return ready_s

    async def plant(self) -> dict[str, Any]:
        """Ask holdfast-plant on the robot what its drives do."""
        try:
            return {"drives": await asyncio.to_thread(self.robot.drives)}
        except BenchError as error:
            raise UnreachableError(str(error)) from error

    def description(self) -> dict[str, Any]:
        """Return hub_url and ssh."""
        shell = self.vm.shell
        return {
            "hub_url": self.hub.url,
            "ssh": {"port": shell.port, "key": str(shell.key), "user": "root"},
            "login": shlex.join(["ssh", *shell.options(), "-p", str(shell.port), "root@127.0.0.1"]),
        }

    async def close(self) -> None:
        """Switch the machine off, then the hub.

        In good order, unless that fails or the robot went on from a saved state: it is one of many, and thrown away.
        """
        if self._robot is not None:
            self._robot.hang_up()
        if self._vm is not None:
            vm, self._vm = self._vm, None
            try:
                if not self._saved:
                    await asyncio.to_thread(vm.off)
            except BenchError:
                pass  # __exit__ cuts the power; the console log in its folder tells why
            finally:
                await asyncio.to_thread(vm.__exit__, None, None, None)
        if self._hub_process is not None:
            await self._hub_process.stop()
            self._hub_process = None

    def _last_words(self) -> str:
        """Return what the robot's own journals say last of its way into the fleet: the machine is gone afterwards."""
        try:
            return self.vm.shell.run(_WAY_INTO_THE_FLEET, check=False).stdout.strip()
        except BenchError as error:
            return str(error)

    def _log(self, name: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self._folder / name
