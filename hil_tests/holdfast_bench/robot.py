"""A robot as the bench sees it: what it says of itself, what its drives receive, and how to wait for either.

Everything goes over the management link (ssh), which stays up when the link to the fleet is cut. Nothing
here is timed:
a wait has a generous limit and ends as soon as its condition holds.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from holdfast_bench.facade import Shell
from holdfast_bench.result import BenchError

T = TypeVar("T")
WAIT_LIMIT_S = 180.0
PYTHON = "/usr/lib/holdfast/bin/python"
"""Of the robot: it has what the image is made of."""
_CONTROLLERS = "/usr/share/holdfast/controllers"
_POLL_S = 0.25
_STANDSTILL = 0.05
"""rad or rad/s: encoder noise and the plant's settling stay below it."""


def wait_until(what: str, probe: Callable[[], T | None], limit_s: float = WAIT_LIMIT_S) -> T:
    """Call `probe` until it returns something true.

    Raises:
        BenchError: it did not within `limit_s`; names `what` was waited for.
    """
    end = time.monotonic() + limit_s
    while True:
        if seen := probe():
            return seen
        if time.monotonic() > end:
            raise BenchError(f"waited {limit_s:.0f} s for this in vain: {what}")
        time.sleep(_POLL_S)


class Robot:
    """Speaks to one running robot through a shell on it."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self._answering: subprocess.Popen[str] | None = None
        self._turn = threading.Lock()

    def holdfast(self, *arguments: str) -> dict[str, Any]:
        """Run `holdfast ARGUMENTS --json` on the robot and return its answer, refusals included."""
        command = ["env", "HOLDFAST_ROBOT=local", "holdfast", *arguments, "--json"]
        done = self.shell.run(shlex.join(command), check=False)
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            raise BenchError(f"{shlex.join(command)}: no JSON: {done.stdout} {done.stderr}") from None
        if not isinstance(answer, dict):
            raise BenchError(f"{shlex.join(command)}: not an object: {done.stdout}")
        return {"ok": done.returncode == 0, **answer}

    def ask(self, *arguments: str) -> dict[str, Any]:
        """Ask one thing by holdfast_bench.guest.ask on the robot.

        Raises:
            BenchError: no answer came, also from a robot that has been switched on again.
        """
        with self._turn:
            line = self._asked(arguments) or self._asked(arguments)
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            raise BenchError(f"holdfast_bench.guest.ask {shlex.join(arguments)}: {line!r}") from None
        return answer

    def _asked(self, arguments: tuple[str, ...]) -> str:
        """Return the line that answers; empty if what answered has gone, as in a power cut."""
        if self._answering is None:
            self._answering = self.shell.start(shlex.join([PYTHON, "-m", "holdfast_bench.guest.ask"]))
        process = self._answering
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - both are pipes
        try:
            print(json.dumps(arguments), file=process.stdin, flush=True)
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.hang_up()
        return line

    def hang_up(self) -> None:
        """End the conversation; the next question starts a new one."""
        if self._answering is not None:
            process, self._answering = self._answering, None
            process.kill()
            process.communicate()

    def control(self) -> dict[str, Any]:
        """Return the core's account of itself."""
        return self.ask("socket", "control.sock", '{"op": "status"}')

    def safety(self) -> dict[str, Any]:
        """Return the safety daemon's account of itself."""
        return self.ask("socket", "safety.sock", '{"op": "status"}')

    def drives(self) -> dict[str, dict[str, Any]]:
        """Return what each simulated drive has received and does."""
        answer = self.ask("socket", "plant-control.sock", '{"op": "status"}')
        if not answer.get("ok"):
            raise BenchError(f"the plant does not answer: {answer.get('error')}")
        drives: dict[str, dict[str, Any]] = answer["drives"]
        return drives

    def deploy(self, controller: str) -> None:
        """Deploy a controller of the image, by its file name.

        Raises:
            BenchError: it was rejected.
        """
        answer = self.holdfast("robot", "deploy", f"{_CONTROLLERS}/{controller}")
        if not answer["ok"]:
            raise BenchError(f"{controller} was rejected: {answer}")

    def arm(self) -> None:
        """Arm as soon as nothing blocks it.

        Raises:
            BenchError: something still does at the end of the limit.
        """
        blockers: list[Any] = []

        def armed() -> bool:
            blockers[:] = self.control()["arm_blockers"]
            if blockers:
                return False
            answer = self.holdfast("robot", "arm")
            blockers[:] = [answer.get("error")]
            return bool(answer["ok"])

        try:
            wait_until("the robot can be armed", armed)
        except BenchError as error:
            raise BenchError(f"{error}; it says: {blockers}") from None

    def disarm(self) -> None:
        """Disarm and wait for the standstill."""
        self.holdfast("robot", "disarm")
        wait_until("the robot is disarmed", lambda: self.control()["mode"] == "disarmed")

    def wait_moving(self) -> None:
        """Wait until the spindle of the example robot turns."""
        wait_until("the spindle turns", lambda: abs(self.drives()["spindle"]["velocity"]) > 5.0)

    def wait_latched(self, cause: str) -> dict[str, Any]:
        """Wait for a latched stop and return the safety status."""

        def latched() -> dict[str, Any] | None:
            status = self.safety()
            return status if status.get("latched") else None

        status = wait_until(f"a latched stop ({cause})", latched)
        if status["cause"] != cause:
            raise BenchError(f"latched for {status['cause']!r} ({status.get('reason')}), not for {cause!r}")
        return status

    def _after_frames(self, first: dict[str, dict[str, Any]], count: int) -> dict[str, dict[str, Any]]:
        def later() -> dict[str, dict[str, Any]] | None:
            now = self.drives()
            return (
                now if all(now[name]["frames"] >= first[name]["frames"] + count for name in first) else None
            )

        return wait_until(f"every drive gets {count} more frames", later)

    def prove_standstill(self) -> None:
        """Watch 500 frames on every drive.

        Raises:
            BenchError: a drive moved meanwhile.
        """
        first = self.drives()
        for name, drive in self._after_frames(first, 500).items():
            if (
                abs(drive["position"] - first[name]["position"]) > _STANDSTILL
                or abs(drive["velocity"]) > _STANDSTILL
            ):
                raise BenchError(f"{name} moved although nothing may: {first[name]} became {drive}")

    def wait_safe_frames(self) -> dict[str, Any]:
        """Wait until every drive of the example robot receives its safe frame, each cycle, and stands still.

        Velocity: 0. Effort: 0. Position: one value that does not change, at the measured position, never "the
        origin". Returns the frames counted and the hold positions.
        """

        def safe() -> dict[str, Any] | None:
            first = self.drives()
            second = self._after_frames(first, 50)
            for name, drive in second.items():
                before = first[name]
                if abs(drive["velocity"]) > _STANDSTILL:
                    return None
                if drive["mode"] == "position":
                    held = drive["input"] == before["input"]
                    if not held or abs(drive["input"] - drive["position"]) > _STANDSTILL:
                        return None
                elif drive["input"] != 0 or before["input"] != 0:
                    return None
            return {
                "frames": {n: second[n]["frames"] - first[n]["frames"] for n in first},
                "hold": {n: d["input"] for n, d in second.items() if d["mode"] == "position"},
            }

        return wait_until("every drive receives its safe frame", safe)
