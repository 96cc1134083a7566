"""A disk under the robot's state that can get slow or fail: device mapper over a file (dm-delay, dm-flakey).

The state moves there before the robot is used; the services do not know.
"""

from __future__ import annotations

from pathlib import Path

from holdfast.places import state_directory
from holdfast_bench.guest.commands import run

_NAME = "holdfast-state"
_DEVICE = Path("/dev/mapper") / _NAME
_FILE = Path("/var/lib/holdfast-bench/state.img")
_BYTES = 256 << 20
_SERVICES = ("holdfast-worker", "holdfast-control", "holdfast-safety", "holdfast-nats")
# Longer than any scenario lasts.
_FOR_EVER_S = 1_000_000


class FaultyDisk:
    """The disk, once the robot's state is on it; without faults at first."""

    def __init__(self) -> None:
        """Stop the robot, move its state to the disk and start the robot again.

        Raises:
            ScenarioError: a command failed.
        """
        state = state_directory()
        _FILE.parent.mkdir(parents=True, exist_ok=True)
        with _FILE.open("wb") as file:
            file.truncate(_BYTES)
        run("systemctl", "stop", *_SERVICES)
        self._loop = run("losetup", "--find", "--show", str(_FILE))
        run("dmsetup", "create", _NAME, "--table", self._table("linear"))
        # As on the disk of the image: after an error nothing more is written.
        run("mkfs.ext4", "-q", "-e", "remount-ro", str(_DEVICE))
        run("mount", str(_DEVICE), "/mnt")
        run("cp", "--archive", f"{state}/.", "/mnt")
        run("umount", "/mnt")
        run("mount", str(_DEVICE), str(state))
        run("systemctl", "start", "holdfast.target")

    def make_slow(self, delay_ms: float) -> None:
        """Let every read and write take that much longer."""
        self._switch(self._table("delay", str(round(delay_ms))))

    def make_fast(self) -> None:
        """End the slowness."""
        self._switch(self._table("linear"))

    def make_fail(self) -> None:
        """Let every write fail from now on, as on a card that is worn out."""
        self._switch(self._table("flakey", "0", str(_FOR_EVER_S), "1", "error_writes"))

    def _table(self, target: str, *options: str) -> str:
        return " ".join(("0", str(_BYTES // 512), target, self._loop, "0", *options))

    def _switch(self, table: str) -> None:
        # Without a freeze of the file system: that would write, and a fault comes unannounced.
        run("dmsetup", "suspend", "--nolockfs", _NAME)
        run("dmsetup", "reload", _NAME, "--table", table)
        # Not waiting for udev, which reads the disk anew: of a slow one it would wait for long.
        run("dmsetup", "resume", "--noudevsync", _NAME)
