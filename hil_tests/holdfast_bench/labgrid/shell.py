"""Root's shell by labgrid's ssh connection: the agent logs in, commands run over what it has opened."""

from __future__ import annotations

import subprocess
from pathlib import Path

from holdfast_bench.labgrid.errors import LabgridError
from holdfast_bench.labgrid.link import LabgridLink
from holdfast_bench.qemu.ssh import RemoteShell, Ssh

_CONNECT_LIMIT_S = 300.0
_NO_CONNECTION = 255
"""The code by which ssh says that it is about the connection, not the command."""


class LabgridShell(RemoteShell):
    """Runs commands by the ssh command that the agent gives for its connection."""

    def __init__(self, link: LabgridLink) -> None:
        self._link = link
        self._command: list[str] | None = None

    def forget(self) -> None:
        """Log in anew for the next command: the robot has been switched off."""
        self._command = None

    def run(
        self, command: str, check: bool = True, limit_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the robot; without `check`, 255 also says that no connection was had.

        Raises:
            MachineError: with `check`, it failed; in any case, it took longer than `limit_s`, or labgrid is gone.
        """
        try:
            done = super().run(command, check=False, limit_s=limit_s)
        except LabgridError as error:
            if check or not self._link.alive:
                raise
            return subprocess.CompletedProcess([command], _NO_CONNECTION, "", str(error))
        if done.returncode == _NO_CONNECTION:
            self.forget()
        if check and done.returncode != 0:
            raise LabgridError(
                f"on the robot `{command}` ended with {done.returncode}: "
                f"{done.stdout.strip()} {done.stderr.strip()}"
            )
        return done

    def _argv(self, command: str) -> list[str]:
        if self._command is None:
            self._command = list(self._link.ask("shell.connect", limit_s=_CONNECT_LIMIT_S))
        return [*self._command, command]


class VirtualShell(LabgridShell, Ssh):
    """The same for a virtual robot, whose key is made here."""

    def __init__(self, folder: Path, link: LabgridLink) -> None:
        Ssh.__init__(self, folder)
        LabgridShell.__init__(self, link)
