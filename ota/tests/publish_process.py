"""A publisher that is killed: `publish_process.py DIR VERSION STEP` ends by SIGKILL after that step."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path

from holdfast_ota.repository import Repository
from holdfast_ota.target import Kind


def main() -> None:
    """Publish and die."""
    directory, version, last_step = sys.argv[1:]
    steps = itertools.count(1)

    def die(_step: str) -> None:
        if next(steps) == int(last_step):
            os.kill(os.getpid(), signal.SIGKILL)

    Repository(Path(directory), progress=die).publish(
        Kind.CONTROLLER, "motion", f"new {version}".encode(), version=version
    )


if __name__ == "__main__":
    main()
