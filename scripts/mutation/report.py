"""What a mutation run says: report.json for machines, a table for people, and whether it passed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.mutation.outcome import Verdict
from scripts.mutation.run import TargetRun, Tried
from scripts.mutation.waivers import Waiver, stale_waivers


@dataclass(frozen=True)
class Conclusion:
    """What is wrong with a run; nothing, if it passed."""

    unexplained: list[tuple[str, Tried]]
    waived: list[tuple[str, Tried, Waiver]]
    unproved: list[tuple[str, Tried]]
    stale: list[Waiver]
    empty: list[str]  # files without a mutant that was built

    @property
    def passed(self) -> bool:
        """Every survivor is explained, every explanation is needed, and every mutant is proved to have run."""
        return not (self.unexplained or self.unproved or self.stale or self.empty)


def conclude(runs: Sequence[TargetRun], waivers: Sequence[Waiver], *, whole: bool = True) -> Conclusion:
    """Judge the runs; `whole` is false if some mutants were left out, and then no waiver is called stale."""
    survivors = [(run.file, tried) for run in runs for tried in run.of(Verdict.SURVIVED)]
    covering = [
        (file, tried, next((waiver for waiver in waivers if waiver.covers(file, tried.mutant)), None))
        for file, tried in survivors
    ]
    alive = [(file, tried.mutant) for file, tried in survivors]
    return Conclusion(
        unexplained=[(file, tried) for file, tried, waiver in covering if waiver is None],
        waived=[(file, tried, waiver) for file, tried, waiver in covering if waiver is not None],
        unproved=[(run.file, tried) for run in runs for tried in run.of(Verdict.UNPROVED)],
        stale=stale_waivers(waivers, alive, [run.file for run in runs]) if whole else [],
        empty=[run.file for run in runs if len(run.of(Verdict.NOT_BUILT)) == len(run.tried)],
    )


def write_json(path: Path, runs: Sequence[TargetRun], conclusion: Conclusion) -> None:
    """Write every mutant with its outcome, and the conclusion."""
    waived = {tried.mutant.id: waiver.reason for _file, tried, waiver in conclusion.waived}
    body = {
        "passed": conclusion.passed,
        "unexplained": [tried.mutant.id for _file, tried in conclusion.unexplained],
        "unproved": [tried.mutant.id for _file, tried in conclusion.unproved],
        "stale_waivers": [asdict(waiver) for waiver in conclusion.stale],
        "targets": [
            {
                "file": run.file,
                "baseline_tests": run.baseline_tests,
                "seconds": round(run.seconds, 1),
                "counts": {verdict.value: len(run.of(verdict)) for verdict in Verdict},
                "mutants": [
                    {
                        **asdict(tried.mutant),
                        "verdict": tried.outcome.verdict.value,
                        "tests": tried.outcome.tests,
                        "detail": tried.outcome.detail,
                        "waiver": waived.get(tried.mutant.id),
                    }
                    for tried in run.tried
                ],
            }
            for run in runs
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(body, indent=1) + "\n")


def table(runs: Sequence[TargetRun], conclusion: Conclusion) -> str:
    """Return one line a file with the counts, then everything that needs a person."""
    columns = tuple(Verdict)
    lines = [
        f"{'file':24} {'mutants':>8} " + " ".join(f"{verdict.value:>10}" for verdict in columns) + "    tests"
    ]
    for run in runs:
        counts = " ".join(f"{len(run.of(verdict)):10d}" for verdict in columns)
        lines.append(f"{run.file:24} {len(run.tried):8d} {counts} {run.baseline_tests:8d}")
    for file, tried, waiver in conclusion.waived:
        lines += [
            "",
            f"waived       {_place(file, tried)}",
            *_difference(tried),
            f"    because: {waiver.reason}",
        ]
    for file, tried in conclusion.unexplained:
        lines += ["", f"SURVIVED     {_place(file, tried)}", *_difference(tried)]
    for file, tried in conclusion.unproved:
        lines += [
            "",
            f"UNPROVED     {_place(file, tried)}",
            *_difference(tried),
            f"    {tried.outcome.detail}",
        ]
    for waiver in conclusion.stale:
        lines += [
            "",
            f"STALE WAIVER {waiver.file}, {waiver.function}",
            f"  - {waiver.line}",
            f"  + {waiver.mutant}",
        ]
    lines += [f"NOTHING BUILT {file}: every mutant failed to compile" for file in conclusion.empty]
    if not conclusion.passed:
        lines += [
            "",
            "A survivor needs a test that fails with it, or a waiver with its reason; a stale waiver goes.",
        ]
    return "\n".join(lines)


def _place(file: str, tried: Tried) -> str:
    return f"runtime/control/src/{file}:{tried.mutant.line} {tried.mutant.id} ({tried.mutant.kind})"


def _difference(tried: Tried) -> list[str]:
    return [f"  - {tried.mutant.line_before}", f"  + {tried.mutant.line_after}"]
