"""A run in virtual time: the guest's clock counts its instructions, so latencies do not depend on the host.

One processor, kernel and initrd started directly (firmware's time-outs would pass while it waits for real
I/O), no network. The scenario runs inside, by holdfast-scenario.service; it reports JSON lines by a
virtio-serial port and ends the machine with a code that neither a crash nor a power-off gives.

The disk is a memory module, so that nothing comes from outside and a run can be repeated exactly: a drive answers
when the host has read from its own, at another of the guest's instructions each time. There is one for who asks for it.
"""

from __future__ import annotations

import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from holdfast_bench.guest.scenario import LOAD_DRIVE
from holdfast_bench.qemu.console import ConsoleLog
from holdfast_bench.qemu.errors import MachineError
from holdfast_bench.qemu.platform import PC
from holdfast_bench.qemu.process import FOLDER, IMAGE, QemuProcess, credential_arguments
from holdfast_bench.qemu.processor import own_processor
from holdfast_image.build import Image
from holdfast_image.cache import cache_directory
from holdfast_image.guest.debug_exit import EXIT_CODE, PORT

RESULT_PORT = "holdfast.result"
_MEMORY_MIB = 2048
_DRIVE_BYTES = 1 << 30
_POLL_S = 0.5
# What the guest takes for the date and for random is the same in each run.
_REPEATED = ("-rtc", "base=2026-01-01,clock=vm", "-seed", "1")


@dataclass(frozen=True)
class VirtualRun:
    """What a run left: the scenario's lines, the guest's clock at the end and the time it took here."""

    lines: list[dict[str, Any]]
    virtual_s: float
    real_s: float


def run_virtual(
    image: Image,
    scenario: Mapping[str, Any],
    *,
    directory: Path,
    credentials: Mapping[str, str] | None = None,
    drive: bool = False,
    limit_s: float = 1800.0,
    on_line: Callable[[dict[str, Any]], None] = lambda line: None,
    on_clock: Callable[[float], None] = lambda virtual_s: None,
) -> VirtualRun:
    """Run `scenario` (the credential holdfast.scenario) in the bench image and return what it reported.

    `drive`: the guest has an empty drive as well.
    `on_line` sees each line as it comes, `on_clock` the guest's clock in seconds; both in this thread.

    Raises:
        MachineError: it is not over after `limit_s` of real time, or did not end by the scenario.
    """
    folder = directory.absolute() / "machine"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    console = ConsoleLog(folder / "console.log")
    began = time.monotonic()
    with image.in_use(), own_processor(cache_directory() / "virtual-time") as processor:
        given = {"holdfast.scenario": json.dumps(scenario), **(credentials or {})}
        arguments = [*_arguments(image), *credential_arguments(given)]
        if drive:
            arguments += _empty_drive(folder)
        process = QemuProcess(image, folder, arguments, ports=[RESULT_PORT], processor=processor)
        lines = _LineReader(process.ports[RESULT_PORT])
        seen = 0
        clock = 0.0
        try:
            while process.code() is None:
                if time.monotonic() - began > limit_s:
                    raise MachineError(
                        f"the virtual-time run is not over after {limit_s:.0f} s, "
                        f"its clock shows {clock:.0f} s:\n{console.tail()}"
                    )
                seen = _pass_on(lines, seen, on_line)
                if (now := max(console.clock_s() or 0.0, lines.clock_s)) > clock:
                    clock = now
                    on_clock(clock)
                time.sleep(_POLL_S)
            code = process.code()
        finally:
            process.kill()
        lines.join()
        _pass_on(lines, seen, on_line)
    if code != EXIT_CODE:
        said = "\n".join(json.dumps(line) for line in lines.lines[-3:])
        raise MachineError(
            f"the machine ended with code {code} instead of the scenario's {EXIT_CODE}; "
            f"it reported:\n{said}\n"
            f"{process.last_words()}\nand its console:\n{console.tail()}"
        )
    return VirtualRun(lines.lines, max(clock, lines.clock_s), time.monotonic() - began)


def _arguments(image: Image) -> list[str]:
    size = (image.directory / "image.raw").stat().st_size
    # Of the image's file the guest changes a private copy.
    file = f"mem-path={IMAGE}/image.raw,size={size},share=off,readonly=on,rom=off"
    return [
        *("-machine", f"{PC.machine},nvdimm=on", "-m", f"{_MEMORY_MIB}M,slots=1,maxmem=16G"),
        *("-object", f"memory-backend-file,id=disk,{file}", "-device", "nvdimm,memdev=disk"),
        *("-cpu", PC.processor, "-smp", "1", "-nodefaults", "-display", "none", "-no-reboot"),
        *("-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", *_REPEATED),
        *("-kernel", f"{IMAGE}/image.vmlinuz", "-initrd", f"{IMAGE}/image.initrd"),
        # Kernel messages show the guest's clock.
        *("-append", f"{image.command_line} loglevel=7"),
        *("-device", f"isa-debug-exit,iobase={PORT:#x},iosize=1"),
        *("-chardev", f"file,id=console,path={FOLDER}/console.log", "-serial", "chardev:console"),
    ]


def _empty_drive(folder: Path) -> list[str]:
    with (folder / "drive.raw").open("wb") as file:
        file.truncate(_DRIVE_BYTES)
    return [
        *("-drive", f"if=none,id=drive,file={FOLDER}/drive.raw,format=raw,cache=unsafe,discard=unmap"),
        *("-device", f"virtio-blk-pci,drive=drive,serial={LOAD_DRIVE}"),
    ]


class _LineReader(threading.Thread):
    """Takes lines off the port all the time: the guest must not wait for us."""

    def __init__(self, port: socket.socket) -> None:
        super().__init__(name="holdfast-result", daemon=True)
        self.lines: list[dict[str, Any]] = []
        self._stream = port.makefile("rb")
        self.start()

    @property
    def clock_s(self) -> float:
        """The guest's clock at its last line, in seconds since its boot."""
        return max((float(line.get("clock_s", 0.0)) for line in self.lines[-1:]), default=0.0)

    def run(self) -> None:
        """Read until the machine ends."""
        with self._stream:
            for line in self._stream:
                try:
                    self.lines.append(json.loads(line))
                except ValueError:
                    self.lines.append({"garbled": line.decode(errors="replace")})


def _pass_on(lines: _LineReader, seen: int, on_line: Callable[[dict[str, Any]], None]) -> int:
    for line in lines.lines[seen:]:
        on_line(line)
        seen += 1
    return seen
