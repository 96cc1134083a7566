"""A whole labgrid on loopback: coordinator, exporter, and a board whose serial console is a pseudo-terminal.

The board is a process of its own (`python labgrid_bench.py board.json`): it writes a boot message when its supply is
switched on, answers lines on its console while it has one, and is switched by labgrid's ExternalPowerDriver.
"""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import tty
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from holdfast_bench.bench_file import BenchFile, load_bench_file
from holdfast_bench.labgrid.environment import ensure_environment
from holdfast_bench.robot import wait_until

PLACE = "shelf-3"
EXPORTED = "bench-host/board/NetworkSerialPort"
SPEED = 115200
_LIMIT_S = 60.0
# labgrid's exporter has ser2net listen on every interface; on this machine it is loopback's alone.
_SER2NET = """#!/bin/sh
for argument do
    shift
    case $argument in *accepter:*) argument=$(printf %s "$argument" | sed 's/tcp,/tcp,127.0.0.1,/') ;; esac
    set -- "$@" "$argument"
done
exec {ser2net} "$@"
"""


@dataclass(frozen=True)
class Shelf:
    """What a test knows of it."""

    folder: Path
    coordinator: str
    programs: Path

    @property
    def switched(self) -> Path:
        """Every switching of the supply, one word a line."""
        return self.folder / "switched"

    def client(self, *arguments: str) -> str:
        """Run labgrid's own client, as somebody else on the same bench would."""
        done = subprocess.run(
            [str(self.programs / "labgrid-client"), "-x", self.coordinator, *arguments],
            env={**os.environ, "LG_USERNAME": "colleague"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout} {done.stderr}"
        return done.stdout

    def bench(self, **settings: str) -> BenchFile:
        """Write a bench file for it; `settings` are lines of [labgrid]."""
        file = self.folder / "bench.toml"
        lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
        file.write_text(
            'name = "shelf"\nback_end = "labgrid"\ncapabilities = ["power", "console", "shell"]\n'
            f'[labgrid]\nenvironment = "environment.yaml"\ncoordinator = "{self.coordinator}"\n{lines}'
        )
        return load_bench_file(file)


@contextmanager
def shelf(folder: Path) -> Iterator[Shelf]:
    """Start board, coordinator and exporter, with one place for the board."""
    programs = ensure_environment()
    with ExitStack() as running:
        board = running.enter_context(_process([sys.executable, __file__, str(folder)], folder, "board", {}))
        console = _line(board, r"console (\S+)")
        coordinator = _start_coordinator(running, programs, folder)
        _write_configuration(folder, console)
        own = {"PATH": f"{folder}:{os.environ['PATH']}"}
        command = [str(programs / "labgrid-exporter"), "-c", coordinator, "-n", "bench-host"]
        command += ["--hostname", "127.0.0.1", str(folder / "exporter.yaml")]
        running.enter_context(_process(command, folder, "exporter", own))
        made = Shelf(folder, coordinator, programs)
        made.client("-p", PLACE, "create")
        made.client("-p", PLACE, "add-match", EXPORTED)
        made.client("-p", PLACE, "set-tags", "board=simulated")
        _wait_for_exporter(made)
        yield made


def _start_coordinator(running: ExitStack, programs: Path, folder: Path) -> str:
    command = [str(programs / "labgrid-coordinator"), "-l", "127.0.0.1:0"]
    process = running.enter_context(_process(command, folder, "coordinator", {}))
    return _line(process, r"listening on (\S+)")


def _wait_for_exporter(made: Shelf) -> None:
    wait_until("the exporter offers the console", lambda: EXPORTED in made.client("resources"))


def _write_configuration(folder: Path, console: str) -> None:
    program = folder / "ser2net"
    program.write_text(_SER2NET.format(ser2net="/usr/sbin/ser2net"))
    program.chmod(0o755)
    (folder / "exporter.yaml").write_text(
        f"board:\n  RawSerialPort:\n    port: {console}\n    speed: {SPEED}\n"
    )
    command = f"{sys.executable} {__file__} {folder}"
    (folder / "environment.yaml").write_text(
        "targets:\n  main:\n    resources:\n      RemotePlace:\n        name: !template '$LG_PLACE'\n"
        f"    drivers:\n      SerialDriver: {{}}\n      ExternalPowerDriver:\n"
        f"        cmd_on: {command} on\n        cmd_off: {command} off\n"
    )


@contextmanager
def _process(
    command: list[str], folder: Path, name: str, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[str]]:
    with (folder / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=_LIMIT_S)
        finally:
            process.kill()


def _line(process: subprocess.Popen[str], pattern: str) -> str:
    """Return what matches in the process's output, waiting for it."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if found := re.search(pattern, line):
            return found[1]
    raise AssertionError(f"{process.args!r} ended without {pattern!r}: {''.join(seen)}")


def run_board(folder: Path) -> None:
    """Be the board: the supply comes and goes by lines in a FIFO, the console is a pseudo-terminal."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    supply_path = folder / "supply"
    os.mkfifo(supply_path)
    supply = os.open(supply_path, os.O_RDWR)
    print(f"console {os.ttyname(theirs)}", flush=True)
    on = False
    while True:
        ready, _, _ = select.select([ours, supply], [], [])
        if supply in ready:
            word = os.read(supply, 100).decode().split()[-1]
            on = word == "on"
            with (folder / "switched").open("a") as switched:
                print(word, file=switched)
            if on:
                os.write(ours, b"Holdfast \x1b[1mboard\x1b[0m boots\r\nboard login: ")
        if ours in ready:
            typed = os.read(ours, 4096)
            if on:
                os.write(ours, b"you typed: " + typed)


def switch(folder: Path, word: str) -> None:
    """Be the power switch; fails when there is no board any more."""
    supply = os.open(folder / "supply", os.O_WRONLY | os.O_NONBLOCK)
    os.write(supply, f"{word}\n".encode())


if __name__ == "__main__":
    if len(sys.argv) > 2:
        switch(Path(sys.argv[1]), sys.argv[2])
    else:
        run_board(Path(sys.argv[1]))
