"""The figures of a boot, from what a robot says."""

from __future__ import annotations

import pytest

from holdfast_bench import boot
from holdfast_bench.result import BenchError

SHOWN = """InitRDTimestampMonotonic=5743700
UserspaceTimestampMonotonic=24334444
ActiveEnterTimestampMonotonic=53951996
NRestarts={restarts}
"""
MEMORY = "MemTotal:        2012160 kB\nMemFree:  1600000 kB\nMemAvailable:    1711104 kB\nHugePages_Total:       0\n"


def test_the_parts_of_a_boot_make_the_whole() -> None:
    told = boot.figures(SHOWN.format(restarts=0), MEMORY)
    assert told == {"kernel_s": 5.74, "initrd_s": 18.59, "system_s": 29.62, "loop_s": 53.95, "used_mib": 294}


def test_a_core_that_had_to_be_started_again_has_no_boot_time() -> None:
    with pytest.raises(BenchError, match="started again 2 times"):
        boot.figures(SHOWN.format(restarts=2), MEMORY)
