"""A virtual robot in real time: UEFI firmware, the image's boot chain, two networks.

Each machine has a folder with its disk (an overlay of the image), firmware variables, console log and ssh
key, so that any number run side by side.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from holdfast_bench.facade import MANAGEMENT, OUTSIDE
from holdfast_bench.qemu.accelerator import choose_accelerator
from holdfast_bench.qemu.console import ConsoleLog
from holdfast_bench.qemu.errors import MachineError
from holdfast_bench.qemu.process import FOLDER, IMAGE, QemuProcess, credential_arguments
from holdfast_bench.qemu.ssh import Ssh
from holdfast_image.build import Image
from holdfast_image.cache import require_space
from holdfast_image.errors import HostError
from holdfast_image.namespace import Bind, run_in_builder

FIRMWARE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
_FIRMWARE_VARIABLES = "usr/share/OVMF/OVMF_VARS_4M.fd"
# Larger than the image, as the drive of a robot is: the data partition takes what is left. The host gives it as it is
# written.
_DISK_BYTES = 6 << 30
_NEEDED_BYTES = 4 << 30
MACHINE = "q35,sata=off,smbus=off"
EMULATED_PROCESSOR = "max,erms=off,fsrm=off"
"""A processor that announces fast string instructions makes kernel and libc copy with `rep movsb`, which is emulated
byte by byte."""
_LINKS = (MANAGEMENT, OUTSIDE)


class Vm:
    """One machine; it implements Power and Faults, `console` and `shell` the rest of the facade.

    Used as a context manager it is off and its processes are gone afterwards; its folder stays for who wants
    to look. The host is reached from inside at 10.0.3.2 (the outside link).
    """

    def __init__(
        self,
        image: Image,
        folder: Path,
        *,
        credentials: Mapping[str, str] | None = None,
        processors: int = 2,
        memory_mib: int = 2048,
        accelerator: Literal["auto", "kvm", "tcg"] = "auto",
    ) -> None:
        self.image = image
        self.folder = folder.absolute()
        self._credentials = dict(credentials or {})
        self._processors = processors
        self._memory_mib = memory_mib
        self._wanted_accelerator = accelerator
        self._process: QemuProcess | None = None
        self._started = 0.0
        self._resources = ExitStack()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.accelerator: str = accelerator
        self.console = ConsoleLog(self.folder / "console.log")
        self.shell = Ssh(self.folder)

    def __enter__(self) -> Self:
        """Prepare the disk; the machine is still off."""
        self._resources.enter_context(self.image.in_use())
        try:
            self._prepare()
        except BaseException:
            self._resources.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cut the power if it is on."""
        try:
            self.cut()
        finally:
            self._resources.close()

    @property
    def back_end(self) -> str:
        """What runs it, for reports."""
        return f"QEMU ({self.accelerator})"

    # Power

    def on(self) -> None:
        """Start the machine; returns when QEMU runs, before the guest has booted.

        Raises:
            MachineError: it is on already, or QEMU does not start.
        """
        if self._process is not None:
            raise MachineError(f"the machine in {self.folder} is on already")
        self.console.mark()
        self._started = time.monotonic()
        self._process = QemuProcess(self.image, self.folder, self._arguments())
        try:
            network = self._process.monitor.human("info usernet")
        except MachineError as error:
            said = self._process.last_words()
            self.cut()
            raise MachineError(f"QEMU did not start: {error}\n{said}") from error
        forward = re.search(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", network)
        if forward is None:
            self.cut()
            raise MachineError(f"QEMU forwards no port to ssh:\n{network}")
        self.shell.port = int(forward[1])

    def off(self, limit_s: float = 180.0) -> None:
        """Press the power button and wait until the machine is off.

        Raises:
            MachineError: it is not off within `limit_s`.
        """
        if self._process is None:
            return
        process = self._process
        process.monitor.execute("system_powerdown")
        try:
            process.wait(limit_s)
        except MachineError as error:
            raise MachineError(f"no shutdown within {limit_s:.0f} s:\n{self.console.tail()}") from error
        self.cut()

    def cut(self) -> None:
        """Take the power away at once (SIGKILL; the disk is not cached on the host)."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()

    # Faults

    def set_link(self, name: str, up: bool) -> None:
        """Plug the network cable `name` (net0, net1) in or out.

        Raises:
            MachineError: there is no such link, or the machine is off.
        """
        self._require_link(name)
        self._running().monitor.execute("set_link", name=name, up=up)

    # Waiting

    @property
    def on_for_s(self) -> float:
        """Seconds since the last power-on."""
        return time.monotonic() - self._started

    def wait_for_unit(self, unit: str, limit_s: float = 300.0) -> float:
        """Wait until a unit is active and return the seconds since power-on.

        Raises:
            MachineError: not within `limit_s`, or the machine ended; the message names the failed units.
        """
        self.shell.wait_for_unit(unit, limit_s, self._require_alive, self.console)
        return self.on_for_s

    @staticmethod
    def _require_link(name: str) -> None:
        if name not in _LINKS:
            raise MachineError(f"there is no link {name!r}; there are {', '.join(_LINKS)}")

    def _running(self) -> QemuProcess:
        if self._process is None:
            raise MachineError(f"the machine in {self.folder} is off")
        return self._process

    def _require_alive(self) -> None:
        code = self._running().code()
        if code is not None:
            said = self._running().last_words()
            raise MachineError(f"the machine ended with code {code}:\n{said}\n{self.console.tail()}")

    def _prepare(self) -> None:
        try:
            require_space(self.folder, _NEEDED_BYTES, "the machine's disk")
        except HostError as error:
            raise MachineError(str(error)) from error
        if self._wanted_accelerator == "auto":
            self.accelerator = choose_accelerator(self.image)
        shutil.copyfile(self.image.builder.tree / _FIRMWARE_VARIABLES, self.folder / "firmware-variables.fd")
        make_overlay(self.image, self.folder)

    def _arguments(self) -> list[str]:
        return [
            *("-machine", MACHINE, "-cpu", self._cpu(), "-m", str(self._memory_mib), "-display", "none"),
            *self._devices(),
            *(
                "-chardev",
                f"file,id=console,path={FOLDER}/console.log,append=on",
                "-serial",
                "chardev:console",
            ),
        ]

    def _cpu(self) -> str:
        return "host" if self.accelerator == "kvm" else EMULATED_PROCESSOR

    def _devices(self) -> list[str]:
        """Return all options but machine, CPU, memory, display and console, which labgrid writes by itself."""
        credentials = {"ssh.authorized_keys.root": self.shell.public_key(), **self._credentials}
        return [
            *("-name", self.folder.name, "-smp", str(self._processors), "-nodefaults"),
            *("-accel", "kvm" if self.accelerator == "kvm" else "tcg,thread=multi"),
            *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={FIRMWARE}"),
            *("-drive", f"if=pflash,format=raw,unit=1,file={FOLDER}/firmware-variables.fd"),
            *disk_arguments(cache="none"),
            # Management: nothing but ssh from the host.
            *("-netdev", f"user,id={MANAGEMENT},net=10.0.2.0/24,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"),
            *("-device", f"virtio-net-pci,netdev={MANAGEMENT},mac=52:54:00:00:02:0f"),
            *("-netdev", f"user,id={OUTSIDE},net=10.0.3.0/24"),
            *("-device", f"virtio-net-pci,netdev={OUTSIDE},mac=52:54:00:00:03:0f"),
            *("-device", "virtio-rng-pci"),
            *credential_arguments(credentials),
        ]


def make_overlay(image: Image, folder: Path) -> None:
    """Make the machine's disk: an empty overlay of the image."""
    run_in_builder(
        image.builder.tree,
        [
            *("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", f"{IMAGE}/image.raw"),
            *(f"{FOLDER}/disk.qcow2", str(_DISK_BYTES)),
        ],
        [Bind(folder, FOLDER, writable=True), Bind(image.directory, IMAGE)],
        log=folder / "qemu.log",
        what="making the machine's disk",
    )


def disk_arguments(cache: str) -> list[str]:
    """Return the options for the machine's disk."""
    return [
        *("-drive", f"if=none,id=disk,file={FOLDER}/disk.qcow2,format=qcow2,cache={cache},discard=unmap"),
        *("-device", "virtio-blk-pci,drive=disk,bootindex=1"),
    ]
