"""Survivors that are explained: a fault that no test can see because it changes nothing that matters.

`runtime/control/tests/mutation/waivers.toml` holds one table a waiver. It names the mutant by its text, as in a
difference, so that it survives edits elsewhere in the file and dies with an edit of its own line:

    [[waiver]]
    file = "shield/shield.cpp"
    function = "approach_speed"
    line = "if (distance <= 0.0) return 0.0;"
    mutant = "if (distance < 0.0) return 0.0;"
    reason = "The formula below gives 0 for a distance of 0 too."
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

from scripts.mutation.mutants import Mutant


@dataclass(frozen=True)
class Waiver:
    """One explained survivor."""

    file: str
    function: str
    line: str
    mutant: str
    reason: str

    def covers(self, file: str, mutant: Mutant) -> bool:
        """Tell whether this is the waiver of the mutant."""
        return (self.file, self.function, self.line, self.mutant) == (
            file,
            mutant.function,
            mutant.line_before,
            mutant.line_after,
        )


def load_waivers(path: Path) -> list[Waiver]:
    """Read the waivers; raise ValueError for an unknown or missing key and for an empty reason."""
    names = {field.name for field in fields(Waiver)}
    found: list[Waiver] = []
    for number, table in enumerate(tomllib.loads(path.read_text()).get("waiver", []), start=1):
        if set(table) != names:
            raise ValueError(
                f"{path}: waiver {number} must have the keys {sorted(names)}, and has {sorted(table)}"
            )
        waiver = Waiver(**table)
        if len(waiver.reason.split()) < 3:
            raise ValueError(f"{path}: waiver {number} has no reason; say why no test can tell this mutant")
        found.append(waiver)
    return found


def stale_waivers(
    waivers: Iterable[Waiver], survivors: Iterable[tuple[str, Mutant]], files: Iterable[str]
) -> list[Waiver]:
    """Return the waivers of the files that ran which no survivor needs any more."""
    alive, ran = list(survivors), set(files)
    return [
        waiver
        for waiver in waivers
        if waiver.file in ran and not any(waiver.covers(file, mutant) for file, mutant in alive)
    ]
