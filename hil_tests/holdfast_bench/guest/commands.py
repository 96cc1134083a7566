"""Programs of the robot's machine, as the scenarios call them."""

from __future__ import annotations

import subprocess


class ScenarioError(Exception):
    """The robot did not do what the scenario needs; the message says what was seen."""


def run(*command: str) -> str:
    """Run a program and return what it says.

    Raises:
        ScenarioError: it failed, or is not there.
    """
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ScenarioError(f"{command[0]}: {error.strerror}; the bench image has it") from error
    if done.returncode != 0:
        raise ScenarioError(f"{' '.join(command)}: {done.stderr.strip() or f'exit code {done.returncode}'}")
    return done.stdout.strip()
