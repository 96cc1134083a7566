"""The virtual target: the machine of the QEMU back end, but switched, heard and reached by labgrid.

Disk, firmware, credentials and devices are those of `Vm`, so that the suite meets the same robot; QEMU is started by
labgrid's QEMUDriver, through qemu_in_tree.py, with an environment like hil_tests/benches/labgrid/virtual.yaml.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from holdfast_bench.labgrid.errors import LabgridError
from holdfast_bench.labgrid.link import ANSWER_LIMIT_S, LabgridLink
from holdfast_bench.labgrid.shell import VirtualShell
from holdfast_bench.qemu import MachineError, Vm
from holdfast_bench.qemu.platform import PC
from holdfast_image.build import Image
from holdfast_image.namespace import tail_of

_DRIVERS = Path(__file__).with_name("drivers.py")


class LabgridVm(Vm):
    """A virtual robot behind labgrid; used like Vm."""

    def __init__(
        self, image: Image, folder: Path, *, environment: Path, credentials: Mapping[str, str] | None = None
    ) -> None:
        """Use labgrid's description of the target in the file `environment`."""
        super().__init__(image, folder, credentials=credentials)
        self._environment = environment
        self._link: LabgridLink | None = None
        self._is_on = False

    def __enter__(self) -> Self:
        """Prepare the disk, start labgrid's agent and open the target; the machine is still off."""
        super().__enter__()
        try:
            self._link = link = LabgridLink(self.folder, environment=self._variables())
            self.shell = VirtualShell(self.folder, link)
            link.ask("open", environment=str(self._environment))
        except BaseException:
            self._close(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut the power if it is on, and end the agent."""
        self._close(kind, error, trace)

    @property
    def back_end(self) -> str:
        """What runs it, for reports."""
        return f"labgrid, {super().back_end}"

    def on(self) -> None:
        """Start the machine; returns when QEMU runs, before the guest has booted.

        Raises:
            LabgridError: it is on already, or QEMU does not start.
        """
        if self._is_on:
            raise LabgridError(f"the machine in {self.folder} is on already")
        self.console.mark()
        self._started = time.monotonic()
        self._virtual_shell().forget()
        try:
            self._open_link().ask("power.on")
        except LabgridError as error:
            raise LabgridError(f"{error}\nQEMU said:\n{tail_of(self.folder / 'qemu.log')}") from error
        self._is_on = True

    def off(self, limit_s: float = 180.0) -> None:
        """Press the power button and wait until the machine is off.

        Raises:
            LabgridError: it is not off within `limit_s`.
        """
        if not self._is_on:
            return
        try:
            self._open_link().ask("power.shut_down", limit_s=limit_s + ANSWER_LIMIT_S, seconds=limit_s)
        except LabgridError as error:
            raise LabgridError(f"no shutdown: {error}\n{self.console.tail()}") from error
        self.cut()

    def cut(self) -> None:
        """Take the power away at once (SIGKILL; the disk is not cached on the host)."""
        if self._is_on and self._link is not None:
            self._is_on = False
            # With a dead agent QEMU has ended already: it lives no longer than who started it.
            if self._link.alive:
                self._link.ask("power.cut")

    def set_link(self, name: str, up: bool) -> None:
        """Plug the network cable `name` (net0, net1) in or out.

        Raises:
            MachineError: there is no such link, or the machine is off.
        """
        self._require_link(name)
        self._require_on()
        self._open_link().ask("links.set", name=name, up=up)

    def _require_on(self) -> None:
        if not self._is_on:
            raise MachineError(f"the machine in {self.folder} is off")

    def _require_alive(self) -> None:
        self._require_on()
        code = self._open_link().ask("power.ended")
        if code is not None:
            raise MachineError(
                f"the machine ended with code {code}:\n{tail_of(self.folder / 'qemu.log')}\n{self.console.tail()}"
            )
        # A console that nobody reads stops the machine: it waits for each character to be taken.
        if (reason := self._open_link().ask("console.ended")) is not None:
            raise LabgridError(f"nothing is read from the machine's console any more: {reason}")

    def _open_link(self) -> LabgridLink:
        if self._link is None:
            raise LabgridError(f"the machine in {self.folder} is not prepared; use it as a context manager")
        return self._link

    def _virtual_shell(self) -> VirtualShell:
        assert isinstance(self.shell, VirtualShell)  # noqa: S101 - made with the link
        return self.shell

    def _close(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            if self._link is not None:
                link, self._link = self._link, None
                link.close()

    def _variables(self) -> dict[str, str]:
        """Return what the environment file is filled with."""
        return {
            "LG_ROBOT_DRIVERS": str(_DRIVERS),
            "LG_ROBOT_MACHINE": PC.machine,
            "LG_ROBOT_CPU": self._cpu(),
            "LG_ROBOT_MEMORY": f"{self._memory_mib}M",
            "LG_ROBOT_ARGUMENTS": shlex.join(self._devices()),
            "LG_ROBOT_KEY": str(self.shell.key),
            "LG_ROBOT_QEMU": str(self._write_qemu()),
        }

    def _write_qemu(self) -> Path:
        """Write the program that labgrid runs for QEMU: it takes no arguments before QEMU's own."""
        places = (self.image.builder.tree, self.image.directory, self.folder)
        command = [sys.executable, "-m", "holdfast_bench.labgrid.qemu_in_tree", *map(str, places)]
        program = self.folder / "qemu-in-tree"
        program.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
        program.chmod(0o755)
        return program
