"""Child processes of a session: their output goes to files, and none of them outlives this process."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from holdfast.errors import ConfigError, UnreachableError

_POLL_S = 0.02
_STOP_S = 5.0
_LAST_WORDS = 2000


class Child:
    """One child process. The kernel kills it when this process dies, however that happens (PR_SET_PDEATHSIG)."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    @classmethod
    async def start(
        cls, name: str, command: Sequence[str | Path], *, environment: Mapping[str, str], log: Path
    ) -> Child:
        """Start `command` with its output appended to `log`. Call it from the main thread: the kernel watches that.

        Raises:
            ConfigError: the program is not installed.
        """
        if shutil.which(command[0]) is None:
            raise ConfigError(f"{command[0]} is not installed; `make deps` installs what holdfast needs")
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL", *command),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(environment),
                # Ctrl-C is for us: we stop the children in order.
                start_new_session=True,
            )
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """True until it has ended."""
        return self._process.returncode is None

    async def until(self, condition: Callable[[], Awaitable[bool]], timeout_s: float) -> None:
        """Wait until `condition` holds.

        Raises:
            UnreachableError: the child ended, or the time is over; with the last it said.
        """
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not await condition():
            if not self.running:
                raise UnreachableError(
                    f"{self.name} ended with {self._process.returncode}: {self.last_words()}"
                )
            if asyncio.get_running_loop().time() > deadline:
                raise UnreachableError(
                    f"{self.name} was not ready within {timeout_s:g} s: {self.last_words()}"
                )
            await asyncio.sleep(_POLL_S)

    def last_words(self) -> str:
        """Return the end of its output."""
        try:
            return self._log.read_text(errors="replace")[-_LAST_WORDS:].strip() or "it said nothing"
        except OSError as error:
            return f"its output cannot be read: {error.strerror}"

    async def stop(self) -> None:
        """End it in good order, by force after five seconds."""
        if self.running:
            self._process.terminate()
            try:
                async with asyncio.timeout(_STOP_S):
                    await self._process.wait()
            except TimeoutError:
                self.kill()
        await self._process.wait()

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
