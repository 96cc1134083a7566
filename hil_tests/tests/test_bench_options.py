"""What people type after `holdfast bench`, and what the documents tell them to type: accepted, or refused in words."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from holdfast_bench.bench_file import load_bench_file
from holdfast_bench.cli import SCENARIOS, bench
from holdfast_bench.play_scenario import needs
from holdfast_bench.scenarios import load_scenario, scenario_files

ROOT = Path(__file__).parents[2]
TOLD = re.compile(r"holdfast bench run ([a-z0-9-]+)((?: --?[a-z-]+(?:[ =][^\s`|#)-][^\s`|#)]*)?)*)")


def holdfast(*arguments: str) -> Result:
    return CliRunner().invoke(bench, arguments)


def told_as_json(*arguments: str) -> str:
    """Return the error of a command that is refused with --json."""
    result = holdfast(*arguments, "--json")
    assert result.exit_code == 2, result.output
    told = json.loads(result.stdout)
    assert told["ok"] is False
    return str(told["error"])


@pytest.mark.parametrize(
    ("arguments", "users"),
    [
        (("tick", "--seconds", "5"), "deadlines, deadlines-loaded"),
        (("offline-hour", "--virtual-time", "--seconds", "60"), "deadlines, deadlines-loaded"),
        (("deadlines", "--virtual-time", "--trials", "5"), "estop-1000"),
        (("update-writes", "--count", "5"), "boot, power-cut, data-writes, update-cut"),
        (("boot", "--seed", "1"), "estop-1000, power-cut"),
        (("power-cut", "--enable-line"), "estop-1000"),
        (("tick", "--bench", "hil_tests/benches/pi5.toml"), "scenarios on a robot"),
    ],
)
def test_an_option_that_changes_nothing_is_refused(arguments: tuple[str, ...], users: str) -> None:
    result = holdfast("run", *arguments)
    assert result.exit_code == 2, result.output
    assert f"means nothing to {arguments[0]}" in result.output
    assert users in result.output


@pytest.mark.parametrize("arguments", [("list",), ("run", "faults", "--virtual-time"), ("run", "tick")])
def test_outside_of_a_checkout_it_says_so(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = holdfast(*arguments)
    assert result.exit_code == 2, result.output
    assert "Error: " in result.output
    assert "is in no checkout" in told_as_json(*arguments)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "somersault"), "there is no scenario"),
        (("run", "mine.toml"), "mine.toml: No such file"),
        (("run", "tick", "--seconds", "5"), "--seconds means nothing to tick"),
        (("run", "tick", "--virtual-time"), "real time only"),
        (("run", "deadlines"), "add --virtual-time"),
    ],
)
def test_what_is_refused_is_told_as_json_too(arguments: tuple[str, ...], said: str) -> None:
    assert said in told_as_json(*arguments)


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "build/bench"
    (place / "estop").mkdir(parents=True)
    (place / "estop/result.json").write_text(json.dumps({"scenario": "estop", "clock": "real"}))
    (place / "report.html").mkdir()
    result = holdfast("report", "--json")
    assert result.exit_code == 2, result.output
    assert json.loads(result.stdout)["error"].startswith("build/bench/report.html: Is a directory; ")


def test_a_report_in_a_folder_that_root_made_names_it_and_the_way_out(tmp_path: Path) -> None:
    place = tmp_path / "build/bench"
    (place / "estop").mkdir(parents=True)
    (place / "estop/result.json").write_text(json.dumps({"scenario": "estop", "clock": "real"}))
    place.chmod(0o555)
    # Root needs no permission, unless it is without this capability.
    as_user = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    report = [*as_user, sys.executable, "-m", "holdfast.cli", "bench", "report", "--json"]
    done = subprocess.run(report, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert json.loads(done.stdout)["error"] == (
        "build/bench/report.partial: Permission denied; a run as root made it: sudo chown -R $USER build"
    )


def told_commands() -> list[tuple[str, str]]:
    """Return scenario and options of each run that a document tells people to make; not those on a FILE of theirs."""
    documents = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = [(match[1], match[2]) for file in documents for match in TOLD.finditer(file.read_text())]
    return sorted({told for told in found if told[0] != "mine" and "FILE" not in told[1]})


@pytest.mark.parametrize(("name", "options"), told_commands())
def test_what_the_documents_tell_people_to_run_is_offered(name: str, options: str) -> None:
    virtual = "--virtual-time" in options
    file = re.search(r"--bench[ =](\S+)", options)
    if name in SCENARIOS:
        scenario = SCENARIOS[name]
        offered, needed = scenario.clocks, scenario.needs
        used = scenario.options
    else:
        offered, needed = ["virtual", "real"], needs(load_scenario(scenario_files()[name]))
        used = frozenset()
    given = {option.replace("-", "_") for option in re.findall(r"--([a-z-]+)", options)}
    assert given - {"virtual_time", "bench", "json"} <= used
    chosen = load_bench_file(ROOT / (file[1] if file else "hil_tests/benches/virtual.toml"))
    virtual = virtual or chosen.clock == "virtual"
    assert ("virtual" if virtual else "real") in offered
    chosen.require(frozenset({"virtual-time"}) if virtual else needed, name)
