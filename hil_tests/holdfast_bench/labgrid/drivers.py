"""labgrid's QEMU driver with what a bench needs besides: a power cut, the power button, network cables.

Loaded by labgrid (`imports:` of an environment), inside its environment. labgrid's own `off` has QEMU end in good
order, which writes what a guest thought was written: that proves nothing about a power cut.
"""

from __future__ import annotations

import re

from labgrid.driver import ExecutionError, QEMUDriver
from labgrid.factory import target_factory


class VirtualRobotDriver(QEMUDriver):  # type: ignore[misc]
    """A virtual robot: `on` starts QEMU, `cut` kills it. Between the two it is activated once."""

    def cut(self) -> None:
        """Kill QEMU at once."""
        self._child.kill()
        self._child.wait()
        self.status = 0

    def shut_down(self, limit_s: float) -> None:
        """Press the power button and wait until QEMU has ended.

        Raises:
            subprocess.TimeoutExpired: it has not within `limit_s`.
        """
        self.monitor_command("system_powerdown")
        self._child.wait(limit_s)

    def ended(self) -> int | None:
        """Return the code that QEMU has ended with, None while it runs."""
        code: int | None = self._child.poll() if self._child else None
        return code

    def set_link(self, name: str, up: bool) -> None:
        """Plug the cable `name` in or out."""
        self.monitor_command("set_link", {"name": name, "up": up})

    def ssh_port(self) -> int:
        """Return the port of this machine that QEMU forwards to the robot's ssh."""
        shown = self.monitor_command("human-monitor-command", {"command-line": "info usernet"})
        found = re.search(r"HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)", str(shown))
        if found is None:
            raise ExecutionError(f"QEMU forwards no port to ssh: {shown}")
        return int(found[1])


target_factory.reg_driver(VirtualRobotDriver)
