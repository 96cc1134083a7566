"""A run that fails leaves a result that says so: what an earlier run left does not stand for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from holdfast_bench.bench_file import benches_folder
from holdfast_bench.cli import bench
from holdfast_bench.result import BenchError, NotOfferedError, failure_kept
from holdfast_image.errors import UsageError

QUANTILES = ("p50", "p99", "p99_9", "max")
TICK = {
    "tick": {"channels": 12, "ratio": 2.0}
    | {f"{kind}_ns_{each}": 100 for kind in ("cpp", "native", "python") for each in QUANTILES},
    "cycle": {"channels": {"1": {f"ns_{each}": 100 for each in QUANTILES}}},
}
MEASURES = f"""
import pathlib, sys
text = {json.dumps(TICK)!r}
print(text)
print("measuring", file=sys.stderr)
pathlib.Path("build").mkdir(exist_ok=True)
pathlib.Path("build/bench.json").write_text(text)
"""
FAILS = "import sys; sys.exit(3)"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with the program of the scenario `tick`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "image").mkdir()
    (tmp_path / "image/mkosi.conf").touch()
    (tmp_path / "runtime/control/bench").mkdir(parents=True)
    measure_with(MEASURES)
    return tmp_path


def measure_with(program: str) -> None:
    Path("runtime/control/bench/tick_bench.py").write_text(program)


def holdfast(*arguments: str) -> Result:
    return CliRunner().invoke(bench, arguments)


def left(scenario: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(Path(f"build/bench/{scenario}/result.json").read_text())
    return body


def test_a_run_that_fails_takes_the_place_of_the_one_that_passed(place: Path) -> None:
    assert holdfast("run", "tick").exit_code == 0
    shutil.copytree("build/bench/tick", "earlier/tick")
    measure_with(FAILS)
    assert holdfast("run", "tick").exit_code == 1
    assert left("tick") == {
        "scenario": "tick",
        "clock": "real",
        "error": "runtime/control/bench/tick_bench.py ended with 3; its words are above",
    }
    told = json.loads(holdfast("report", "--json").output)["scenarios"]["tick"]
    assert told["verdict"] == "failed"
    assert "ended with 3" in told["error"]
    compared = holdfast("compare", "earlier", "build/bench")
    assert compared.exit_code == 1
    assert "broken: B failed: runtime/control/bench/tick_bench.py ended with 3" in compared.output


def test_what_is_refused_before_anything_starts_leaves_the_result_as_it_was(place: Path) -> None:
    board = str(benches_folder() / "pi5.toml")
    assert holdfast("run", "power-cut", "--bench", board).exit_code == 1
    assert holdfast("run", "deadlines").exit_code == 2
    assert not Path("build").exists()


@pytest.mark.parametrize("error", [NotOfferedError("the bench has none"), UsageError("change there first")])
def test_what_is_refused_by_a_scenario_is_no_failure_of_the_robot(place: Path, error: Exception) -> None:
    with pytest.raises(type(error)), failure_kept("somersault", {"scenario": "somersault", "clock": "real"}):
        raise error
    assert not Path("build").exists()


@pytest.mark.parametrize(
    ("error", "said"), [(BenchError("it fell"), "it fell"), (TimeoutError(), "TimeoutError")]
)
def test_any_other_error_is_kept_with_where_it_happened(place: Path, error: Exception, said: str) -> None:
    header = {"scenario": "somersault", "clock": "real", "bench": "pi5", "back_end": "labgrid"}
    with pytest.raises(type(error)), failure_kept("somersault", header):
        raise error
    assert left("somersault") == {**header, "error": said}


def test_what_a_scenario_measures_by_a_program_of_its_own_is_printed_once(place: Path) -> None:
    command = [sys.executable, "-m", "holdfast.cli", "bench", "run", "tick"]
    as_json = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(as_json.stdout)["tick"] == TICK["tick"]
    assert "measuring" in as_json.stderr
    for_people = subprocess.run(command, capture_output=True, text=True, check=True)
    assert for_people.stdout.count("cpp_ns_p50") == 1
