"""The host's end of the pipe to labgrid: starts the agent, asks it, and says in one sentence what went wrong."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from holdfast_bench.labgrid.environment import ensure_environment
from holdfast_bench.labgrid.errors import LabgridError
from holdfast_image.namespace import tail_of

AGENT = Path(__file__).with_name("agent.py")
ANSWER_LIMIT_S = 120.0
CLOSE_LIMIT_S = 180.0
_END_LIMIT_S = 10.0


class LabgridLink:
    """Asks one agent, one thing at a time. As a context manager it is closed, and the place released, afterwards."""

    def __init__(
        self,
        folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        """Start the agent; its console and log go to `folder`, `environment` adds LG_* variables to its own.

        `command`: another program that speaks the same protocol.

        Raises:
            LabgridError: labgrid cannot be installed.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "labgrid.log"
        self.console_log = folder / "console.log"
        self._asked = 0
        self._one_at_a_time = threading.Lock()
        self._answers: queue.Queue[str] = queue.Queue()
        # labgrid leaves a folder behind for each login that fails.
        self._scratch = tempfile.TemporaryDirectory(prefix="holdfast-labgrid-")
        argv = command or [str(ensure_environment() / "python"), "-I", str(AGENT), str(self.console_log)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env={**_without_labgrid(os.environ), "TMPDIR": self._scratch.name, **(environment or {})},
                # Ctrl-C is for us: the agent ends by the end of its input, and releases the place first.
                start_new_session=True,
            )
        self._reader = threading.Thread(target=self._read, name="labgrid", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def alive(self) -> bool:
        """Whether the agent runs."""
        return self._process.poll() is None

    def ask(self, do: str, *, limit_s: float = ANSWER_LIMIT_S, **arguments: Any) -> Any:
        """Ask the agent for one act and return its result.

        Raises:
            LabgridError: it was refused, the agent is gone, says what is no answer, or says nothing within
                `limit_s` (it is killed then).
        """
        with self._one_at_a_time:
            return self._ask(do, limit_s, arguments)

    def _ask(self, do: str, limit_s: float, arguments: Mapping[str, Any]) -> Any:
        self._asked += 1
        question = {"id": self._asked, "do": do, "with": arguments}
        assert self._process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            raise self._gone(do) from None
        end = time.monotonic() + limit_s
        while True:
            try:
                line = self._answers.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                self._kill()
                raise LabgridError(
                    f"labgrid did not answer {do} within {limit_s:.0f} s and was ended; the end of {self.log}:\n"
                    f"{tail_of(self.log)}"
                ) from None
            if not line:
                raise self._gone(do)
            answer = self._read_answer(do, line)
            # Whoever asked before was interrupted (Ctrl-C) and did not stay for this one.
            if answer["id"] is None or answer["id"] >= self._asked:
                return self._result(do, answer)

    def close(self) -> None:
        """End the agent: processes end, the place is released.

        Raises:
            LabgridError: something could not be let go.
        """
        try:
            if self.alive:
                self.ask("close", limit_s=CLOSE_LIMIT_S)
        finally:
            assert self._process.stdin is not None  # noqa: S101 - it is a pipe
            with suppress(OSError):  # it died with something unread
                self._process.stdin.close()
            try:
                self._process.wait(CLOSE_LIMIT_S)
            except subprocess.TimeoutExpired:
                self._kill()
            self._reader.join()
            self._scratch.cleanup()

    def _read_answer(self, do: str, line: str) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = json.loads(line)
            if not isinstance(answer["id"], int | None) or not isinstance(answer["ok"], bool):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            self._kill()
            raise LabgridError(
                f"labgrid's agent answered {do} with what is no answer and was ended: {line.rstrip()[:200]!r}; "
                f"is something printing to its standard output? (log: {self.log})"
            ) from None
        return answer

    def _result(self, do: str, answer: dict[str, Any]) -> Any:
        if answer["id"] != self._asked:
            self._kill()
            raise LabgridError(
                f"labgrid's agent answered question {answer['id']} instead of {self._asked} ({do}) and was ended "
                f"(log: {self.log})"
            )
        if not answer["ok"]:
            raise LabgridError(f"labgrid: {do}: {answer.get('error')} (log: {self.log})")
        return answer.get("result")

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        with self._process.stdout as answers:
            for line in answers:
                self._answers.put(line)
        self._answers.put("")

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _gone(self, do: str) -> LabgridError:
        try:
            self._process.wait(_END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._kill()
        code = self._process.returncode
        return LabgridError(
            f"labgrid's agent ended with code {code} instead of answering {do}; the end of {self.log}:\n"
            f"{tail_of(self.log)}"
        )


def _without_labgrid(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out what would change labgrid behind the bench file's back."""
    return {name: value for name, value in environment.items() if not name.startswith("LG_")}
