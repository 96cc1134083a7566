"""Every fuzz target is run, from seeds that reach beyond its first check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripts import fuzz
from scripts.stages import ROOT


def test_every_target_that_is_built_is_run() -> None:
    sources = {
        file.name.removesuffix("_fuzz.cpp") for file in (ROOT / "runtime/control/fuzz").glob("*_fuzz.cpp")
    }
    assert {target.name for target in fuzz.TARGETS} == sources
    cmake = (ROOT / "runtime/control/fuzz/CMakeLists.txt").read_text()
    assert all(f"holdfast_fuzzer({name} " in cmake for name in sources)


@pytest.mark.parametrize("target", fuzz.TARGETS, ids=lambda target: target.name)
def test_every_target_has_seeds_that_fit(target: fuzz.Target) -> None:
    seeds = list(target.seeds())
    assert len(seeds) >= 10
    assert len(set(seeds)) == len(seeds)
    assert sum(len(seed) <= target.longest for seed in seeds) >= 0.9 * len(seeds)


def test_frame_seeds_are_whole_datagrams() -> None:
    assert all(len(seed) % 17 == 0 for seed in fuzz.frame_seeds())


def test_a_latch_seed_is_the_daemons_own_format() -> None:
    record = json.loads(next(iter(fuzz.latch_seeds())))
    assert set(record) == {
        "version",
        "latch_sequence",
        "last_sequence",
        "cause",
        "reason",
        "since",
        "checksum",
    }


def test_words_come_from_the_fixtures() -> None:
    assert {"[[command]]", "max_accel", '"velocity"'} <= fuzz.robot_words()
    assert {'"op"', '"sim"'} <= fuzz.socket_words()
    assert '"latch_sequence":' in fuzz.latch_words()


def test_files_on_which_python_and_cpp_differ_are_found(tmp_path: Path) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_bytes(b"\xff")
    assert fuzz.python_verdict(bad).startswith("refused: ")
    assert fuzz.python_verdict(ROOT / "runtime/tests/robot_toml/valid/minimal.toml") == "taken"
