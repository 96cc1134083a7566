"""What the checks found, set against what the test declared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be after a test."""

    subject: str
    """The unit or counter it is about."""
    text: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.subject}: {self.text}"


@dataclass(frozen=True)
class ExpectedFault:
    """What a test breaks on purpose: a unit, a counter, or a regular expression for a line of the journal."""

    what: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Whether this is the fault that was declared."""
        return self.what == finding.subject or re.search(self.what, finding.text) is not None


def judge(findings: Sequence[Finding], expected: Sequence[ExpectedFault]) -> list[str]:
    """Return a sentence for each finding nobody declared, and for each declared fault that did not happen."""
    surprises = [
        f"unexpected: {finding}"
        for finding in findings
        if not any(fault.covers(finding) for fault in expected)
    ]
    missing = [
        f"expected, but did not happen: {fault.what} ({fault.reason})"
        for fault in expected
        if not any(fault.covers(finding) for finding in findings)
    ]
    return surprises + missing
