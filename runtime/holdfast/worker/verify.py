"""Compile, link and verify in a process of its own: holdfast-verify with a time limit.

On a robot that process has a user of its own (decision 0092): the core takes machine code from nobody else.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from holdfast.errors import RefusedError, RejectedError, UnreachableError
from holdfast.places import executable
from holdfast.seqpacket import Connection

TIME_LIMIT_S = 60.0
_MAX_REPORT_BYTES = 1 << 20
_ANSWER_S = TIME_LIMIT_S + 30.0


class Verifier:
    """Runs holdfast-verify against one robot's configuration, as the user who asks."""

    def __init__(self, config_file: Path, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._config_file = config_file
        self._time_limit_s = time_limit_s

    async def verify(
        self, source: Path, out: Path, trace: Path | None, descriptors: Sequence[int] = ()
    ) -> dict[str, Any]:
        """Compile `source` to `out` and run it for 100 ticks per starting state; returns the report.

        What passed is at `out` whole and on disk. `trace` holds recorded states to start from; the process inherits
        `descriptors`.

        Raises:
            RejectedError: the controller did not pass; the report names stage, tick, channel and value.
            UnreachableError: holdfast-verify itself failed.
        """
        arguments: list[str | Path] = ["--config", self._config_file, "--source", source, "--out", out]
        if trace:
            arguments += ["--trace", trace]
        process = await asyncio.create_subprocess_exec(
            # Dies with who asked: a verification that nobody waits for only takes time from the next one.
            "setpriv",
            "--pdeathsig",
            "KILL",
            executable("holdfast-verify"),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_REPORT_BYTES,
            pass_fds=descriptors,
        )
        try:
            async with asyncio.timeout(self._time_limit_s):
                printed, complaint = await process.communicate()
        except TimeoutError:
            raise RejectedError(
                {
                    "ok": False,
                    "stage": "verify",
                    "error": f"no verdict within {self._time_limit_s:g} s; make the controller smaller",
                }
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        report = _report(printed)
        if process.returncode == 0 and report.get("ok") is True:
            return report
        if process.returncode == 1 and report.get("ok") is False:
            raise RejectedError(report)
        why = report.get("error") or complaint.decode(errors="replace").strip()[-2000:]
        raise UnreachableError(f"holdfast-verify ended with {process.returncode}: {why}")


class VerifyClient:
    """Asks the robot's own user for verification; see `holdfast.verify_service`."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def verify(self, source: Path, out: Path, trace: Path | None) -> dict[str, Any]:
        """Like `Verifier.verify`; `out` is in the folder of compiled controllers."""
        with ExitStack() as opened:
            files = [
                os.open(file, os.O_RDONLY | os.O_CLOEXEC) for file in (source, trace) if file is not None
            ]
            for fd in files:
                opened.callback(os.close, fd)
            try:
                async with await Connection.open(self._socket, _ANSWER_S) as connection:
                    reply = await connection.request({"op": "verify", "name": out.name}, files)
            except RefusedError as error:
                raise UnreachableError(str(error)) from error
        report = dict(reply["report"])
        if report.get("ok") is not True:
            raise RejectedError(report)
        return report


def verifier_for(config_file: Path, run_directory: Path) -> Verifier | VerifyClient:
    """Return who verifies here: the robot's own user where systemd listens for it, else a child of this process."""
    socket = run_directory / "verify.sock"
    return VerifyClient(socket) if socket.exists() else Verifier(config_file)


def _report(printed: bytes) -> dict[str, Any]:
    try:
        report = json.loads(printed)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}
