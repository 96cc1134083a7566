"""Runs a command inside a builder tree: own namespaces, pivot_root, only what is bound is visible.

The one way mkosi, CMake and QEMU are run. A namespace lives no longer than the process that started it: its
first process reads a pipe that this process holds open, and a kill of it ends everything inside.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from holdfast_image.errors import BuildError, HostError

_ENTER = Path(__file__).with_name("enter.sh")
_TAIL_LINES = 15
_EMULATOR = "HOLDFAST_EMULATOR"
_ALL_IDS = "0 0 4294967295\n"
_BASE_ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
}


@dataclass(frozen=True)
class Bind:
    """A file or folder of the host that the command sees at `target`."""

    source: Path
    target: str
    writable: bool = False


def require_root(what: str) -> None:
    """Refuse early and clearly.

    Raises:
        HostError: this process is not root.
    """
    if os.geteuid() != 0:
        raise HostError(
            f"{what} needs root (mount namespaces, file ownership in the image); run it with sudo"
        )


def start_in_builder(
    tree: Path,
    argv: Sequence[str],
    binds: Sequence[Bind] = (),
    *,
    environment: Mapping[str, str] | None = None,
    workdir: str = "/",
    output: IO[bytes] | int | None = None,
    pass_fds: Sequence[int] = (),
    emulator: str | None = None,
) -> subprocess.Popen[bytes]:
    """Start `argv` inside `tree`; SIGKILL to the process returned ends everything in the namespace.

    Its standard input is the life line: keep the object as long as the command shall run. `emulator` is a binfmt.d file
    in the tree: what it names runs another processor's programs, for this command only.

    Raises:
        HostError: not root, or there are no user namespaces for an emulator.
    """
    require_root("running programs of the builder tree")
    arguments = [str(tree), workdir]
    for bind in binds:
        arguments += ["rw" if bind.writable else "ro", str(bind.source), bind.target]
    command = [
        *("unshare", "--mount", "--pid", "--fork", "--kill-child=SIGKILL", "--"),
        *("sh", str(_ENTER), *arguments, "--", *argv),
    ]
    if emulator is not None:
        # The kernel asks an emulator of its user namespace (Linux 6.7): the host's own settings stay as they are.
        told = f"echo; exec >&2; read -r _; exec {shlex.join(command)}"
        command = ["unshare", "--user", "--", "sh", "-c", told]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=output if emulator is None else subprocess.PIPE,
        stderr=output,
        env={**_BASE_ENVIRONMENT, **(environment or {}), **({_EMULATOR: emulator} if emulator else {})},
        pass_fds=tuple(pass_fds),
        start_new_session=True,
    )
    if emulator is not None:
        _map_all_ids(process)
    return process


def _map_all_ids(process: subprocess.Popen[bytes]) -> None:
    """Give the user namespace of a process that waits for it the ids that this one has, and let it go on."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("the process has no pipes to wait at")
    try:
        with process.stdout as says_it_is_there:
            says_it_is_there.readline()
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{name}").write_text(_ALL_IDS)
        process.stdin.write(b"\n")
        process.stdin.flush()
    except OSError as error:
        process.kill()
        process.wait()
        raise HostError(
            f"cannot run another processor's programs in a user namespace: {error.strerror}; "
            "does this kernel allow user namespaces?"
        ) from error


def run_in_builder(
    tree: Path,
    argv: Sequence[str],
    binds: Sequence[Bind] = (),
    *,
    log: Path,
    what: str,
    environment: Mapping[str, str] | None = None,
    workdir: str = "/",
    emulator: str | None = None,
) -> None:
    """Run `argv` inside `tree` to its end, its output appended to `log`; see `start_in_builder`.

    Raises:
        HostError: not root.
        BuildError: it failed; the message says `what` and has the end of the log.
    """
    with log.open("ab") as output:
        process = start_in_builder(
            tree, argv, binds, environment=environment, workdir=workdir, output=output, emulator=emulator
        )
        try:
            status = process.wait()
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            if process.stdin is not None:
                process.stdin.close()
    if status != 0:
        raise BuildError(f"{what} failed (exit code {status}); the end of {log}:\n{tail_of(log)}")


def tail_of(log: Path, lines: int = _TAIL_LINES) -> str:
    """Return the last lines of a log, indented."""
    try:
        text = log.read_text(errors="replace")
    except OSError as error:
        return f"  (cannot read it: {error.strerror})"
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines()[-lines:])
