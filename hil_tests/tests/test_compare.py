"""`holdfast bench compare`: figures side by side, broken limits, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from holdfast_bench.cli import bench

LOADED: dict[str, Any] = {
    "scenario": "deadlines-loaded",
    "clock": "virtual",
    "cycles": 600007,
    "missed": 0,
    "wake_us": {"p50": 6.0, "p99": 8.0, "max": 13.0},
    "cycle_us": {"p50": 187.0, "p99": 220.0, "max": 241.0},
    "controller": {"generation": 1, "state": "running"},
    "kernel": "6.12.118+deb13-rt-amd64",
    "latched": False,
    "real_s": 7061.0,
}
ESTOP: dict[str, Any] = {
    "scenario": "estop-1000",
    "clock": "virtual",
    "paths": {"flag": {"trials": 1000, "limit_us": 2000.0, "over_limit": 0}},
    "void": 0,
}


def changed(result: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {**result, **keys}


def write(folder: Path, result: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "result.json"
    file.write_text(result if isinstance(result, str) else json.dumps(result))
    return file


def compare(*arguments: Path | str) -> Result:
    return CliRunner().invoke(bench, ["compare", *map(str, arguments)])


def refused(*arguments: Path) -> str:
    """Return the one sentence of a refusal."""
    done = compare(*arguments, "--json")
    assert done.exit_code == 2, done.output
    answer = json.loads(done.output)
    assert answer["ok"] is False
    assert "\n" not in answer["error"]
    return str(answer["error"])


def test_figures_stand_side_by_side_with_their_change(tmp_path: Path) -> None:
    a = write(tmp_path / "a", LOADED)
    b = write(tmp_path / "b", changed(LOADED, wake_us={"p50": 6.0, "p99": 8.0, "max": 11.0}))
    done = compare(a, b, "--json")
    assert done.exit_code == 0
    answer = json.loads(done.output)
    assert answer["ok"] is True
    compared = answer["scenarios"]["deadlines-loaded"]
    assert compared["figures"]["wake_us.max"] == {"a": 13.0, "b": 11.0, "change": -2.0}
    assert compared["broken"] == []
    no_figures_of_the_robot = {"real_s", "controller.generation", "latched"}
    assert not no_figures_of_the_robot & set(compared["figures"])


def test_the_table_is_for_people(tmp_path: Path) -> None:
    a = write(tmp_path / "a", LOADED)
    b = write(tmp_path / "b", changed(LOADED, cycles=600107, counters={"overruns": 1}))
    lines = [line.split() for line in compare(a, b).output.splitlines()]
    assert ["cycles", "600,007", "600,107", "+100", "+0.0"] in lines
    assert ["wake_us.max", "13", "13", "+0", "+0.0", "µs"] in lines
    assert ["counters.overruns", "-", "1", "-", "-"] in lines


@pytest.mark.parametrize(
    ("before", "after", "broken"),
    [
        (241.0, 250.0, False),
        (241.0, 250.1, True),
        (260.0, 300.0, False),
        (300.0, 240.0, False),
        (241.0, None, True),
    ],
)
def test_a_limit_that_breaks_in_b_fails(
    tmp_path: Path, before: float, after: float | None, broken: bool
) -> None:
    a = write(tmp_path / "a", changed(LOADED, cycle_us={"max": before}))
    b = write(tmp_path / "b", changed(LOADED, cycle_us={"max": after}))
    done = compare(a, b)
    assert done.exit_code == (1 if broken else 0)
    assert ("broken: cycle_us.max" in done.output) == broken
    answer = json.loads(compare(a, b, "--json").output)
    assert answer["scenarios"]["deadlines-loaded"]["broken"] == (["cycle_us.max"] if broken else [])
    assert answer["ok"] is not broken


def test_every_path_of_the_stop_is_judged(tmp_path: Path) -> None:
    a = write(tmp_path / "a", ESTOP)
    paths = {"flag": ESTOP["paths"]["flag"], "bus": {"trials": 1000, "over_limit": 1}}
    b = write(tmp_path / "b", changed(ESTOP, paths=paths))
    done = compare(a, b)
    assert done.exit_code == 1
    assert "broken: paths.bus.over_limit is 1, its limit 0" in done.output


def test_folders_are_compared_scenario_by_scenario(tmp_path: Path) -> None:
    write(tmp_path / "a/deadlines-loaded", LOADED)
    write(tmp_path / "a/estop-1000", ESTOP)
    write(tmp_path / "b/estop-1000", changed(ESTOP, void=3))
    (tmp_path / "b/unfinished").mkdir()
    done = compare(tmp_path / "a", tmp_path / "b", "--json")
    assert done.exit_code == 1
    answer = json.loads(done.output)
    assert list(answer["scenarios"]) == ["estop-1000"]
    assert answer["only"] == {"a": ["deadlines-loaded"], "b": []}
    assert "only in A: deadlines-loaded" in compare(tmp_path / "a", tmp_path / "b").output
    assert compare(tmp_path / "a/estop-1000", tmp_path / "b").exit_code == 1


def test_other_scenarios_are_refused(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", LOADED), write(tmp_path / "b", ESTOP)
    sentence = refused(a, b)
    assert f"'deadlines-loaded' ({a})" in sentence
    assert f"'estop-1000' ({b})" in sentence


def test_other_clocks_are_refused(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", LOADED), write(tmp_path / "b", changed(LOADED, clock="real"))
    assert f"{a} was measured in virtual time, {b} in real time" in refused(a, b)


def test_other_benches_are_refused(tmp_path: Path) -> None:
    real = changed(LOADED, clock="real")
    pc = write(tmp_path / "pc", changed(real, bench="virtual", back_end="qemu"))
    pi = write(tmp_path / "pi", changed(real, bench="pi5", back_end="labgrid"))
    assert f"{pc} is of the bench 'virtual' (qemu), {pi} of 'pi5' (labgrid)" in refused(pc, pi)
    assert compare(pi, pi).exit_code == 0
    # A result of before benches were kept could be of any.
    assert compare(write(tmp_path / "old", real), pi).exit_code == 0


def test_a_run_that_failed_is_broken_whatever_was_before(tmp_path: Path) -> None:
    good = write(tmp_path / "good", LOADED)
    failed = write(
        tmp_path / "failed", {"scenario": "deadlines-loaded", "clock": "virtual", "error": "it [b]fell[/b]"}
    )
    for before in (good, failed):
        done = compare(before, failed)
        assert done.exit_code == 1
        assert "broken: B failed: it [b]fell[/b]" in done.output
    answer = json.loads(compare(good, failed, "--json").output)
    assert answer["ok"] is False
    assert answer["scenarios"]["deadlines-loaded"]["error"] == "it [b]fell[/b]"
    assert compare(failed, good).exit_code == 0


@pytest.mark.parametrize(("keeps_deadlines", "code"), [(True, 1), (False, 0)])
def test_missed_deadlines_break_where_deadlines_are_kept(
    tmp_path: Path, keeps_deadlines: bool, code: int
) -> None:
    run = {"scenario": "offline-5min", "clock": "real", "keeps_deadlines": keeps_deadlines}
    a, b = write(tmp_path / "a", {**run, "missed": 0}), write(tmp_path / "b", {**run, "missed": 1200})
    assert compare(a, b).exit_code == code


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"scenario": "deadl', "cut short or no JSON"),
        ("[1, 2]", "not a JSON object"),
        ({"clock": "virtual"}, "'scenario': Field required"),
        (changed(LOADED, clock="sundial"), "'clock': Input should be 'virtual' or 'real'"),
        (changed(LOADED, scenario=7), "'scenario': Input should be a valid string"),
        (changed(LOADED, events=[{"t_s": "soon", "event": "fault"}]), "'events.0.t_s'"),
        (changed(LOADED, missed="none"), "the key 'missed' is \"none\", not a finite number"),
        (changed(LOADED, missed=False), "the key 'missed' is false, not a finite number"),
        (changed(LOADED, wake_us={"max": float("nan")}), "the key 'wake_us.max' is NaN, not a finite number"),
        (changed(LOADED, wake_us=13.0), "the key 'wake_us.max' is missing"),
        (changed(LOADED, wake_us={}), "the key 'wake_us.max' is missing"),
        (changed(ESTOP, paths={}), "the key 'paths' names nothing"),
        (changed(ESTOP, paths={"flag": {}}), "the key 'paths.flag.over_limit' is missing"),
    ],
)
def test_a_damaged_result_is_one_sentence_with_file_and_key(
    tmp_path: Path, content: Any, complaint: str
) -> None:
    file = write(tmp_path / "damaged", content)
    sentence = refused(file, file)
    assert str(file) in sentence
    assert complaint in sentence


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    good = write(tmp_path / "good", LOADED)
    assert refused(tmp_path / "nothing.json", good).startswith(f"{tmp_path}/nothing.json: No such file")
    (tmp_path / "empty").mkdir()
    assert refused(good, tmp_path / "empty").startswith(f"{tmp_path}/empty: no result.json in it")


def test_a_scenario_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a/one", LOADED)
    write(tmp_path / "a/two", LOADED)
    assert "is in" in refused(tmp_path / "a", tmp_path / "a")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_bytes(b"\xff\xfe\x00")
    assert "cut short or no JSON" in refused(file, file)
