"""Compile, link and verify in a process of its own: holdfast-verify with a time limit."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from holdfast.errors import RejectedError, UnreachableError
from holdfast.places import executable

_MAX_REPORT_BYTES = 1 << 20


class Verifier:
    """Runs holdfast-verify against one robot's configuration."""

    def __init__(self, config_file: Path, time_limit_s: float = 60.0) -> None:
        self._config_file = config_file
        self._time_limit_s = time_limit_s

    async def verify(self, source: Path, out: Path, trace: list[list[float]]) -> dict[str, Any]:
        """Compile `source` to `out` and run it for 100 ticks per starting state; returns the report.

        Raises:
            RejectedError: the controller did not pass; the report names stage, tick, channel and value.
            UnreachableError: holdfast-verify itself failed.
        """
        arguments: list[str | Path] = ["--config", self._config_file, "--source", source, "--out", out]
        if trace:
            trace_file = out.with_suffix(".trace")
            await asyncio.to_thread(trace_file.write_text, json.dumps({"states": trace}), encoding="utf-8")
            arguments += ["--trace", trace_file]
        process = await asyncio.create_subprocess_exec(
            # Dies with the worker: a verification that nobody waits for only takes time from the next one.
            "setpriv",
            "--pdeathsig",
            "KILL",
            executable("holdfast-verify"),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_MAX_REPORT_BYTES,
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
        last_words = complaint.decode(errors="replace").strip()[-2000:]
        raise UnreachableError(f"holdfast-verify ended with {process.returncode}: {last_words}")


def _report(printed: bytes) -> dict[str, Any]:
    try:
        report = json.loads(printed)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}
