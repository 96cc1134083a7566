"""Root's shell on a machine, through the host's ssh client; for a virtual one with a key made for it."""

from __future__ import annotations

import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from holdfast_bench.qemu.console import ConsoleLog
from holdfast_bench.qemu.errors import MachineError

_POLL_S = 0.5
# Fails as soon as a service was restarted ten times: it will not come up by being waited for.
_UNTIL_ACTIVE = (
    "until systemctl is-active --quiet {unit}; do sleep 0.5; tried=$((tried + 1)); "
    "if [ $((tried % 20)) -eq 0 ] && "
    "systemctl show --property NRestarts --value 'holdfast-*.service' | grep -q '[0-9][0-9]'; "
    "then exit 1; fi; done"
)
_WHAT_HINDERS = (
    "for unit in $(systemctl list-units --plain --no-legend --state failed,activating,deactivating | cut -d' ' -f1); "
    'do echo "$unit:"; journalctl --quiet --boot --output cat --lines 3 --unit "$unit"; done; '
    "systemctl list-jobs --no-legend"
)


class RemoteShell(ABC):
    """Commands as root by an ssh client; a subclass knows how the robot is reached."""

    @abstractmethod
    def _argv(self, command: str) -> list[str]:
        """Return the command line that runs `command` on the robot."""

    def run(
        self, command: str, check: bool = True, limit_s: float = 120.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the robot.

        Raises:
            MachineError: with `check`, it failed; in any case, it took longer than `limit_s`.
        """
        try:
            done = subprocess.run(
                self._argv(command),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise MachineError(f"on the robot `{command}` took longer than {limit_s:.0f} s") from None
        if check and done.returncode != 0:
            raise MachineError(
                f"on the robot `{command}` ended with {done.returncode}: "
                f"{done.stdout.strip()} {done.stderr.strip()}"
            )
        return done

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a shell command on the robot and leave it running; its errors come with its output."""
        return subprocess.Popen(
            self._argv(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait(self, limit_s: float, alive: Callable[[], None]) -> None:
        """Wait until the robot lets us in; `alive` raises when there is no point in waiting on.

        Raises:
            MachineError: it did not within `limit_s`.
        """
        end = time.monotonic() + limit_s
        while True:
            alive()
            done = self.run("true", check=False)
            if done.returncode == 0:
                return
            if time.monotonic() > end:
                raise MachineError(f"no ssh within {limit_s:.0f} s; the last answer: {done.stderr.strip()}")
            time.sleep(_POLL_S)

    def wait_for_unit(
        self, unit: str, limit_s: float, alive: Callable[[], None], console: ConsoleLog
    ) -> None:
        """Wait until the robot lets us in, then until a unit is active.

        Raises:
            MachineError: not within `limit_s`; names the units that hinder it, or has the end of the console.
        """
        try:
            self.wait(limit_s, alive)
        except MachineError as error:
            raise MachineError(f"{error}\n{console.tail()}") from error
        # One login: emulated, each costs the boot that is waited for a second or two.
        try:
            self.run(_UNTIL_ACTIVE.format(unit=unit), limit_s=limit_s)
        except MachineError as error:
            alive()
            said = self.run(_WHAT_HINDERS, check=False).stdout
            raise MachineError(f"{unit} is not active:\n{said}") from error


class Ssh(RemoteShell):
    """Runs commands as root over ssh; the host key of the first connection is expected from then on."""

    def __init__(self, folder: Path) -> None:
        self.key = folder / "ssh-key"
        self.known_hosts = folder / "known_hosts"
        self.port = 0
        if shutil.which("ssh") is None:
            raise MachineError("ssh is not installed; apt-get install openssh-client")
        if not self.key.exists():
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "holdfast-bench", "-f", str(self.key)],
                check=True,
            )

    def public_key(self) -> str:
        """Return the line for authorized_keys."""
        return self.key.with_name("ssh-key.pub").read_text()

    def options(self) -> list[str]:
        """Return ssh's options for this machine; scp and sftp take them as well, but for the port (-P)."""
        return [
            *("-F", "none", "-i", str(self.key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"),
            *("-o", "StrictHostKeyChecking=accept-new", "-o", f"UserKnownHostsFile={self.known_hosts}"),
            *("-o", "HostKeyAlias=robot", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=60"),
            *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"),
        ]

    def _argv(self, command: str) -> list[str]:
        return ["ssh", *self.options(), "-p", str(self.port), "root@127.0.0.1", command]
