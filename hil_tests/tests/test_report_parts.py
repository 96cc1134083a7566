"""What the report is made of: the timeline, figures for people, timing.csv, and the suite's JUnit file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holdfast_bench.report.junit import read_suite
from holdfast_bench.report.limits import unit
from holdfast_bench.report.page import in_digits
from holdfast_bench.report.runs import Event, ResultError
from holdfast_bench.report.timeline import strands
from holdfast_bench.timing import keep_timing, read_timing


def test_faults_part_the_timeline() -> None:
    told = [
        {"t_s": 9.0, "event": "cleared"},
        {"t_s": 0.0, "event": "armed"},
        {"t_s": 4.0, "event": "fault", "by": "scenario", "kind": "silent", "device": "elbow"},
        {"t_s": 8.0, "event": "link", "by": "scenario"},
    ]
    parted = strands([Event.model_validate(event) for event in told])
    assert [strand.title for strand in parted] == [
        "before any event",
        "fault: kind: silent, device: elbow",
        "link",
    ]
    last = parted[-1].moments[-1]
    assert (last.number, last.event, last.after_s, last.is_caused) == (4, "cleared", 1.0, False)
    assert strands([]) == []


def test_figures_are_written_for_people() -> None:
    assert [in_digits(value) for value in (None, 0, 1234567.0, 0.25, -3.1239)] == [
        "-",
        "0",
        "1,234,567",
        "0.25",
        "-3.124",
    ]
    assert in_digits(2.0, signed=True) == "+2"
    assert [unit(key) for key in ("wake_us.max", "tick.cpp_ns_p50", "boot_s", "cycles")] == [
        "µs",
        "ns",
        "s",
        "",
    ]


def test_histograms_are_kept_with_what_is_above_the_range(tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [{"event": "start"}, {"histograms": {"wake": {"inf": 2, "12": 1, "6": 40}}}]
    kept = keep_timing(lines, tmp_path)
    assert Path(kept["timing"]).read_text().splitlines()[1:] == ["wake,6,40", "wake,12,1", "wake,inf,2"]
    assert read_timing(tmp_path / "timing.csv") == {"wake": {6.0: 40, 12.0: 1, float("inf"): 2}}
    assert keep_timing(lines[:1], tmp_path) == {}
    assert not Path(kept["timing"]).exists(), "it would be that of an earlier run"


def test_no_suite_is_an_empty_suite(tmp_path: Path) -> None:
    assert read_suite(tmp_path / "none.xml").tests == []
    (tmp_path / "empty.xml").write_text("")
    with pytest.raises(ResultError, match="cut short"):
        read_suite(tmp_path / "empty.xml")
