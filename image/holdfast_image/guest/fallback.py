"""What follows a version that did not become healthy: `python -m holdfast_image.guest.fallback`.

holdfast-fallback.service runs it. It reboots if there is another version: the boot loader tries this one again or goes
back to that one. Where there is none it leaves the robot up for somebody to log in, who may be about to set it up: to
reboot mends nothing. What has no tries left is remembered as bad.
"""

from __future__ import annotations

import subprocess
import sys

from holdfast_image.errors import UsageError
from holdfast_image.guest.boot_loader import BootLoader, boot_loader
from holdfast_image.guest.versions import Memory, robot_memory


def condemn(loader: BootLoader, memory: Memory) -> bool:
    """Remember the running version as bad if this was its last try; return whether a reboot can mend anything."""
    installed = loader.installed()
    running = next((found for found in installed if found.running), None)
    others = [found for found in installed if not found.running and not found.exhausted]
    if running is not None and running.exhausted and others:
        memory.remember_bad(running.version, "the loop did not run, or the safety daemon was not well")
    return bool(others)


def main() -> int:
    """Reboot if that can help."""
    try:
        helps = condemn(boot_loader(), robot_memory())
    except (UsageError, OSError) as error:
        print(f"<3>{error}", file=sys.stderr)
        helps = True
    if not helps:
        print("<3>no other version is left to boot; this one stays as it is", file=sys.stderr)
        return 0
    print("<4>rebooting: this version did not become healthy", file=sys.stderr)
    return subprocess.run(["systemctl", "--no-block", "reboot"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
