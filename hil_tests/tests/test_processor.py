"""The processor that a run in virtual time takes for itself."""

from __future__ import annotations

import os
from pathlib import Path

from holdfast_bench.qemu.processor import own_processor


def test_two_runs_have_a_processor_each_until_none_is_left(tmp_path: Path) -> None:
    mine = sorted(os.sched_getaffinity(0))
    one = mine[:1]
    os.sched_setaffinity(0, one)
    try:
        with own_processor(tmp_path) as first, own_processor(tmp_path) as second:
            assert first == one[0]
            assert second is None
        with own_processor(tmp_path) as again:
            assert again == one[0]
    finally:
        os.sched_setaffinity(0, mine)


def test_a_second_run_takes_the_next_processor(tmp_path: Path) -> None:
    with own_processor(tmp_path) as first, own_processor(tmp_path) as second:
        assert first is not None
        assert second != first
