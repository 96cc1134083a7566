"""Errors of the runtime, seen from the user's side: what went wrong, where, and how to mend it.

HoldfastError          something a person can act on; the CLI prints it as one sentence, exit code 1
├── ConfigError        robot.toml, the environment or a command line is wrong (exit code 2)
├── UnreachableError   a process, socket or broker does not answer
├── RefusedError       the robot understood and said no (latched stop, not privileged, drive error, ...)
├── RejectedError      a controller did not pass compile, link, instantiate or verify
└── StoreError         the worker's database cannot be read or written
└── StoreFullError the disk (or its quota) is full; nothing was acknowledged
"""

from __future__ import annotations

from typing import Any


class HoldfastError(Exception):
    """Root of everything that this package raises on purpose."""

    exit_code = 1


class ConfigError(HoldfastError):
    """A configuration that cannot be used; the message lists every problem, one a line."""

    exit_code = 2


class UnreachableError(HoldfastError):
    """Nobody answers where somebody should."""


class RefusedError(HoldfastError):
    """The robot understood the request and refused it."""


class RejectedError(HoldfastError):
    """A controller was rejected; `report` is the JSON object of holdfast-verify."""

    def __init__(self, report: dict[str, Any]) -> None:
        self.report = report
        super().__init__(str(report.get("error", "rejected without a reason")))

    @property
    def stage(self) -> str:
        """The step of the pipeline that said no: compile, link, instantiate, verify, activate."""
        return str(self.report.get("stage", "verify"))


class StoreError(HoldfastError):
    """The worker's database cannot be used."""


class StoreFullError(StoreError):
    """There is no space left for the database."""
