"""QEMU of the builder tree for a program that expects an ordinary one: labgrid's QEMUDriver.

    python -m holdfast_bench.labgrid.qemu_in_tree TREE IMAGE FOLDER [QEMU'S ARGUMENTS]...

In a namespace standard input is the life line, so QEMU's monitor (`-qmp stdio`) is passed on through a socket pair.
The folder of the console's socket is made visible under its own name. When this process ends, in whatever way, so does
QEMU; the next one waits until nothing of it is left.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

from holdfast_bench.qemu.platform import PC
from holdfast_bench.qemu.process import FIRST_PASSED_FD, FOLDER, IMAGE
from holdfast_image.namespace import Bind, start_in_builder, tail_of

_BLOCK = 65536


def main(arguments: list[str]) -> int:
    """Run QEMU to its end and return its code."""
    tree, image, folder = (Path(argument) for argument in arguments[:3])
    options = arguments[3:]
    if "-qmp" not in options:
        return start_in_builder(tree, [PC.program, *options], output=1).wait()
    binds = [Bind(folder, FOLDER, writable=True), Bind(image, IMAGE)]
    binds += [Bind(place, str(place), writable=True) for place in socket_folders(options)]
    ours, theirs = socket.socketpair()
    log = folder / "qemu.log"
    with (folder / "running.lock").open("w") as running, theirs, log.open("ab") as output:
        fcntl.flock(running, fcntl.LOCK_EX)
        passed = [
            fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, FIRST_PASSED_FD) for file in (theirs, running)
        ]
        process = start_in_builder(
            tree,
            [PC.program, *monitor_by_descriptor(options, passed[0])],
            binds,
            workdir=FOLDER,
            output=output,
            pass_fds=passed,
        )
    for number in passed:
        os.close(number)
    threading.Thread(target=_pass_on, args=(ours, process), daemon=True).start()
    while data := ours.recv(_BLOCK):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    code = process.wait()
    if code != 0:
        print(tail_of(log), file=sys.stderr)
    return code


def monitor_by_descriptor(options: list[str], number: int) -> list[str]:
    """Return the options with the monitor on an inherited socket instead of standard input and output."""
    place = options.index("-qmp")
    monitor = ["-chardev", f"socket,id=qmp,fd={number}", "-mon", "chardev=qmp,mode=control"]
    return [*options[:place], *monitor, *options[place + 2 :]]


def socket_folders(options: list[str]) -> list[Path]:
    """Return the folders of the sockets that QEMU shall connect to."""
    found = (re.match(r"socket,.*\bpath=([^,]+)", option) for option in options)
    return [Path(match[1]).parent for match in found if match]


def _pass_on(monitor: socket.socket, process: subprocess.Popen[bytes]) -> None:
    """Give QEMU what is written to us; when our starter has gone, QEMU goes too."""
    while data := os.read(0, _BLOCK):
        monitor.sendall(data)
    process.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
