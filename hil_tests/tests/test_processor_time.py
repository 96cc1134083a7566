"""Shares of the processor by unit, from the files of control groups."""

from __future__ import annotations

from pathlib import Path

from holdfast_bench.guest.processor_time import ProcessorTime


def used(group: Path, microseconds: int) -> None:
    group.mkdir(parents=True, exist_ok=True)
    (group / "cpu.stat").write_text(f"usage_usec {microseconds}\nuser_usec 0\nsystem_usec {microseconds}\n")


def test_shares_are_of_the_time_since_the_start(tmp_path: Path) -> None:
    core = tmp_path / "realtime.slice" / "core.service"
    idle = tmp_path / "system.slice" / "idle.service"
    used(core, 5_000_000)
    used(idle, 7_000_000)
    time = ProcessorTime(tmp_path)
    used(core, 5_000_000 + 10**15)
    born = tmp_path / "system.slice" / "born.service"
    used(born, 10**15 // 4)
    shares = time.shares()
    assert list(shares) == ["core.service", "born.service"]
    assert abs(shares["core.service"] / shares["born.service"] - 4) < 1e-3


def test_a_unit_that_has_ended_counts_for_nothing(tmp_path: Path) -> None:
    ended = tmp_path / "system.slice" / "ended.service"
    used(ended, 5_000_000)
    time = ProcessorTime(tmp_path)
    (ended / "cpu.stat").unlink()
    ended.rmdir()
    assert time.shares() == {}
