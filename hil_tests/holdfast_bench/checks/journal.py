"""Errors in the robot's journal, and those that may stand there.

The lines are journalctl's (`--output=json`): one JSON object each, every value a string, a list of bytes where the text
is not UTF-8, or null where it is too long.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from holdfast_bench.result import BenchError

ERROR = 3
"""Priority of "err"; smaller is worse (syslog(3))."""


@dataclass(frozen=True)
class Entry:
    """One entry of the journal."""

    time_us: int
    source: str
    """The unit it is of; without one who wrote it (kernel, sudo)."""
    priority: int
    message: str

    def __str__(self) -> str:
        """Return the line of journal.log."""
        stamp = datetime.fromtimestamp(self.time_us / 1e6, UTC).strftime("%H:%M:%S.%f")
        return f"{stamp} <{self.priority}> {self.source}: {self.message}"


@dataclass(frozen=True)
class Allowed:
    """An error that says nothing about the robot under test."""

    pattern: str
    reason: str


ALLOWED: tuple[Allowed, ...] = (
    Allowed(
        r"^Failed to query local AF_VSOCK CID:",
        "systemd-ssh-generator looks for a hypervisor's socket at each boot; the bench's machine has none",
    ),
    Allowed(
        r"systemd-ssh-generator failed with exit status 1\.$",
        "the same, from systemd itself",
    ),
    Allowed(
        r"^kvm: RT requires X86_FEATURE_CONSTANT_TSC$",
        "an emulated processor lacks it, and no robot runs virtual machines",
    ),
    Allowed(
        r"/(ccp|cryptd|gf128mul|net_failover|x_tables)\.ko\.xz error=No such file or directory$",
        "udev and systemd look for them in the initrd already, which carries the drivers of disks; the robot itself "
        "has them",
    ),
)


def parse(lines: Iterable[str]) -> list[Entry]:
    """Read journalctl's JSON lines.

    Raises:
        BenchError: one is not what journalctl writes.
    """
    return [_entry(line) for line in lines]


def errors(entries: Iterable[Entry]) -> list[Entry]:
    """Return what is an error or worse and not on the list of the allowed."""
    return [
        entry
        for entry in entries
        if entry.priority <= ERROR
        and not any(re.search(allowed.pattern, entry.message) for allowed in ALLOWED)
    ]


def _entry(line: str) -> Entry:
    try:
        fields: dict[str, Any] = json.loads(line)
        # Of what systemd says about a unit, UNIT is that one; _SYSTEMD_UNIT would be its own (init.scope).
        source = fields.get("UNIT") or fields.get("_SYSTEMD_UNIT") or fields.get("SYSLOG_IDENTIFIER") or "?"
        priority = int(fields.get("PRIORITY", ERROR))
        return Entry(
            int(fields["__REALTIME_TIMESTAMP"]), _text(source), priority, _text(fields.get("MESSAGE"))
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BenchError(f"no line of journalctl --output=json: {line[:200]!r}") from None


def _text(value: Any) -> str:
    if isinstance(value, list):
        return bytes(value).decode(errors="replace")
    return "(too long, or nothing)" if value is None else str(value)
