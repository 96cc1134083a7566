"""Starts what judges the running version if it is on trial: `python -m holdfast_image.guest.trial`.

holdfast-trial.service runs it where U-Boot counts. A version that has proved itself is not judged at every boot: a
robot with a fault of another kind would go on rebooting.
"""

from __future__ import annotations

import subprocess
import sys

from holdfast_image.errors import UsageError
from holdfast_image.guest.boot_loader import BootLoader, boot_loader


def is_on_trial(loader: BootLoader) -> bool:
    """Tell whether the running version has tries that are counted."""
    return any(found.running and found.tries_left is not None for found in loader.installed())


def main() -> int:
    """Start holdfast-bless.service, which waits for the loop and the safety daemon."""
    try:
        judged = is_on_trial(boot_loader())
    except (UsageError, OSError) as error:
        print(f"<3>{error}", file=sys.stderr)
        return 1
    if not judged:
        return 0
    return subprocess.run(
        ["systemctl", "--no-block", "start", "holdfast-bless.service"], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
