"""Errors of the update system, seen from its two sides.

    HoldfastError
    └── OtaError
        ├── PublishError   the publisher's side: a repository or mirror was not changed (exit code 1)
        └── RefusalError        the robot's side: an update was not taken, and the running controller did not
        notice

Every message says what, where, and how to mend it.
"""

from __future__ import annotations

from enum import StrEnum

from holdfast.errors import HoldfastError


class OtaError(HoldfastError):
    """Root of what the update system raises on purpose."""


class PublishError(OtaError):
    """A repository or mirror could not be made, changed or read."""


class Reason(StrEnum):
    """Why a robot refused; stable words for programs, beside the sentence for people."""

    NO_ROOT = "no-root"
    UNREACHABLE = "unreachable"
    UNSIGNED = "unsigned"
    EXPIRED = "expired"
    ROLLBACK = "rollback"
    OLDER = "older"
    MODIFIED = "modified"
    OVERSIZED = "oversized"
    INCONSISTENT = "inconsistent"
    UNKNOWN_KIND = "unknown-kind"
    ABSENT = "absent"
    CLOCK = "clock"
    REJECTED = "rejected"
    BAD_VERSION = "bad-version"
    STORAGE = "storage"


class RefusalError(OtaError):
    """A robot did not take an update; the message names the target, the reason and the mend."""

    def __init__(self, reason: Reason, target: str, problem: str, mend: str) -> None:
        self.reason = reason
        self.target = target
        self.problem = problem
        self.mend = mend
        super().__init__(f"{target}: {problem}; {mend}")
