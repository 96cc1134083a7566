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
from holdfast_bench.qemu.disk import SECOND, copy_disk, disk_arguments, make_overlay, second_drive_arguments
from holdfast_bench.qemu.errors import MachineError
from holdfast_bench.qemu.platform import platform_of
from holdfast_bench.qemu.process import FOLDER, IMAGE, SAVED, TPM_SOCKET, QemuProcess, credential_arguments
from holdfast_bench.qemu.saved_state import DISK, FIRMWARE_VARIABLES, KEY, MEMORY, SavedState, move_parts
from holdfast_bench.qemu.ssh import Ssh
from holdfast_image.build import Image
from holdfast_image.cache import require_space
from holdfast_image.errors import HostError
from holdfast_image.namespace import Bind

# Larger than the image, as the drive of a robot is: the data partition takes what is left. The host gives it as it is
# written.
_DISK_BYTES = 6 << 30
_NEEDED_BYTES = 4 << 30
_UNLIMITED = 1 << 40
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
        start_from: SavedState | None = None,
        secure_boot: bool = False,
        tpm: bool = False,
    ) -> None:
        """Make a machine that boots, or whose first power-on goes on where the state `start_from` was saved.

        Such a state was saved by a machine of the same image, processors and memory. With `secure_boot` the firmware
        checks signatures; without keys of its own it takes those that the image brings along. With `tpm` it has a TPM
        2.0, new as from the factory.

        Raises:
            MachineError: no firmware for the image's board checks signatures here, or measures into a TPM.
        """
        self.image = image
        self._platform = platform_of(image.board)
        if secure_boot and self._platform.secure_firmware is None:
            raise MachineError(f"there is no firmware for {image.board} here that checks signatures")
        if tpm and self._platform.tpm is None:
            raise MachineError(f"there is no firmware for {image.board} here that measures into a TPM")
        self.folder = folder.absolute()
        self.credentials = dict(credentials or {})
        """What the guest is told at its next power-on."""
        self.command_line = ""
        """What somebody adds to the kernel's command line in the boot loader's menu, at the next power-on."""
        self.second_drive = ""
        """Name of the raw file in the folder that is plugged in as another drive at the next power-on."""
        self.logs_writes = False
        """Whether all that is written to the disk is logged from the next power-on (`WRITES` in the folder)."""
        self._processors = processors
        self._memory_mib = memory_mib
        self._wanted_accelerator = accelerator
        self._secure_boot = secure_boot
        self._tpm = tpm
        self._process: QemuProcess | None = None
        self._started = 0.0
        self._resources = ExitStack()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self._start_from = start_from
        self._resumes = start_from is not None
        if start_from is not None:
            for name in (KEY, f"{KEY}.pub"):
                shutil.copy(start_from.folder / name, self.folder / name)
        self.accelerator: str = accelerator
        self.console = ConsoleLog(self.folder / "console.log")
        self.shell = Ssh(self.folder)

    def __enter__(self) -> Self:
        """Prepare the disk; the machine is still off."""
        self._resources.enter_context(self.image.in_use())
        try:
            if self._start_from is not None:
                self._resources.enter_context(self._start_from.in_use())
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
        """Start the machine; returns when QEMU runs, before the guest has booted or where its state was saved.

        Raises:
            MachineError: it is on already, or QEMU does not start or go on from that state.
        """
        if self._process is not None:
            raise MachineError(f"the machine in {self.folder} is on already")
        self.console.mark()
        self._started = time.monotonic()
        resumes, self._resumes = self._resumes, False
        arguments = [*self._arguments(), *(("-incoming", f"file:{SAVED}/{MEMORY}") if resumes else ())]
        self._process = QemuProcess(self.image, self.folder, arguments, binds=self._binds(), tpm=self._tpm)
        try:
            if resumes:
                # It was saved standing still, and is loaded so.
                self._process.monitor.wait("query-status", lambda answer: answer["status"] != "inmigrate")
                self._process.monitor.execute("cont")
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

    def save(self, folder: Path) -> None:
        """Stop the machine where it is and move what others can start from into `folder`; it is off afterwards.

        Raises:
            MachineError: it is off, or QEMU could not write its state.
        """
        monitor = self._running().monitor
        monitor.execute("stop")
        monitor.execute("migrate-set-parameters", **{"max-bandwidth": _UNLIMITED})
        monitor.execute("migrate", uri=f"file:{FOLDER}/{MEMORY}")
        ended = monitor.wait("query-migrate", lambda answer: answer.get("status") in {"completed", "failed"})
        if ended["status"] == "failed":
            raise MachineError(
                f"QEMU could not save the machine: {ended.get('error-desc', 'no reason given')}"
            )
        self.cut()
        move_parts(self.folder, folder)

    def copy_disk(self, name: str) -> None:
        """Write all that is on the disk into the raw file `name` of the folder; the machine is off."""
        copy_disk(self.image, self.folder, name, self._binds())

    # Faults

    def set_link(self, name: str, up: bool) -> None:
        """Plug the network cable `name` (net0, net1) in or out.

        Raises:
            MachineError: there is no such link, or the machine is off.
        """
        self._require_link(name)
        self._running().monitor.execute("set_link", name=name, up=up)

    def unplug_second_drive(self) -> None:
        """Take the second drive out, for the next power-on too.

        Raises:
            MachineError: there is none, or the machine is off.
        """
        self._running().monitor.execute("device_del", id=SECOND)
        self.second_drive = ""

    def press(self, key: str) -> None:
        """Press a key of the keyboard and let go of it; it has the name that QEMU gives it (`spc`, `down`, `ret`).

        Raises:
            MachineError: there is no such key, or the machine is off.
        """
        self._running().monitor.execute("send-key", keys=[{"type": "qcode", "data": key}])

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
        if self._start_from is not None:
            shutil.copyfile(self._start_from.folder / FIRMWARE_VARIABLES, self.folder / FIRMWARE_VARIABLES)
        elif self._platform.variables is not None:
            variables = self.image.builder.tree / self._platform.variables
            shutil.copyfile(variables, self.folder / FIRMWARE_VARIABLES)
        below, layout = (f"{SAVED}/{DISK}", "qcow2") if self._start_from else (f"{IMAGE}/image.raw", "raw")
        make_overlay(self.image, self.folder, below, layout, _DISK_BYTES, self._binds())

    def _binds(self) -> list[Bind]:
        """Return what QEMU needs besides image and folder: the disk lies upon that of the state it started from."""
        return [Bind(self._start_from.folder, SAVED)] if self._start_from is not None else []

    def _arguments(self) -> list[str]:
        return [
            *("-machine", self._platform.machine, "-cpu", self._cpu()),
            *("-m", str(self._memory_mib), "-display", "none"),
            *self._devices(),
            *(
                "-chardev",
                f"file,id=console,path={FOLDER}/console.log,append=on",
                "-serial",
                "chardev:console",
            ),
        ]

    def _cpu(self) -> str:
        return "host" if self.accelerator == "kvm" else self._platform.processor

    def _devices(self) -> list[str]:
        """Return all options but machine, CPU, memory, display and console, which labgrid writes by itself."""
        key = self.shell.public_key()
        credentials = {
            "ssh.authorized_keys.root": key,
            "ssh.authorized_keys.admin": key,
            **self.credentials,
        }
        # Only firmware in system management mode may write its variables then: the robot's own root may not.
        protected = ("-global", "driver=cfi.pflash01,property=secure,value=on") if self._secure_boot else ()
        return [
            *("-name", self.folder.name, "-smp", str(self._processors), "-nodefaults"),
            *("-accel", "kvm" if self.accelerator == "kvm" else "tcg,thread=multi"),
            *protected,
            *self._firmware(),
            *self._tpm_arguments(),
            *disk_arguments(self.folder, logged=self.logs_writes),
            *(second_drive_arguments(self.second_drive) if self.second_drive else ()),
            # Management: nothing but ssh from the host.
            *("-netdev", f"user,id={MANAGEMENT},net=10.0.2.0/24,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"),
            *("-device", f"virtio-net-pci,netdev={MANAGEMENT},mac=52:54:00:00:02:0f"),
            *("-netdev", f"user,id={OUTSIDE},net=10.0.3.0/24"),
            *("-device", f"virtio-net-pci,netdev={OUTSIDE},mac=52:54:00:00:03:0f"),
            *("-device", "virtio-rng-pci"),
            *credential_arguments(credentials, self._platform.passes_smbios),
            *self._menu(),
        ]

    def _menu(self) -> list[str]:
        if not self.command_line:
            return []
        return ["-smbios", f"type=11,value=io.systemd.stub.kernel-cmdline-extra={self.command_line}"]

    def _tpm_arguments(self) -> list[str]:
        if not self._tpm:
            return []
        return [
            *("-chardev", f"socket,id=tpm,path={TPM_SOCKET}", "-tpmdev", "emulator,id=tpm,chardev=tpm"),
            *("-device", f"{self._platform.tpm},tpmdev=tpm"),
        ]

    def _firmware(self) -> list[str]:
        if self._platform.variables is None:
            return ["-bios", self._platform.firmware]
        code = self._platform.secure_firmware if self._secure_boot else self._platform.firmware
        return [
            *("-drive", f"if=pflash,format=raw,unit=0,readonly=on,file={code}"),
            *("-drive", f"if=pflash,format=raw,unit=1,file={FOLDER}/{FIRMWARE_VARIABLES}"),
        ]
