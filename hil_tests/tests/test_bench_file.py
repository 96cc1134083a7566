"""Bench files: what is refused and how it is said, and what becomes of tests that a bench cannot run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from holdfast_bench.bench_file import (
    CAPABILITIES,
    BenchFile,
    BenchFileError,
    LabgridSettings,
    benches_folder,
    load_bench_file,
)
from holdfast_bench.open_bench import open_bench
from holdfast_bench.probe.errors import ProbePortError

REFERENCE = (benches_folder().parents[1] / "docs/reference.md").read_text()
LIVE = 'capabilities = ["power", "console", "shell"]\n'
QEMU = f'name = "x"\nback_end = "qemu"\n{LIVE}'
LABGRID = f'name = "x"\nback_end = "labgrid"\n{LIVE}[labgrid]\nenvironment = "x.yaml"\n'


def refused(tmp_path: Path, text: str) -> str:
    """Return what is said to a bench file of this text, without the file's name."""
    file = tmp_path / "bench.toml"
    file.write_text(text)
    (tmp_path / "x.yaml").touch()
    with pytest.raises(BenchFileError) as error:
        load_bench_file(file)
    return str(error.value).replace(str(file), "FILE")


@pytest.mark.parametrize("file", sorted(benches_folder().glob("*.toml")), ids=lambda file: file.stem)
def test_every_bench_file_of_the_repository_is_sound(file: Path) -> None:
    assert load_bench_file(file).name == file.stem


def test_a_key_that_is_not_known_is_named_with_its_line(tmp_path: Path) -> None:
    said = refused(tmp_path, QEMU + "colour = 3\n")
    assert said == (
        "FILE:4: colour: is not a known key; remove it or correct its spelling (docs/reference.md, Bench files)"
    )


def test_a_key_that_is_not_known_in_a_table_is_named_with_its_line(tmp_path: Path) -> None:
    assert refused(tmp_path, LABGRID + "plase = 'a'\n").startswith(
        "FILE:6: labgrid.plase: is not a known key"
    )


def test_every_problem_is_said_at_once(tmp_path: Path) -> None:
    said = refused(tmp_path, 'back_end = "tin"\n' + LIVE).splitlines()
    assert len(said) == 2
    assert "FILE:1: name: is missing; add it (docs/reference.md, Bench files)" in said
    assert any(line.startswith("FILE:1: back_end: Input should be 'qemu' or 'labgrid'") for line in said)


def test_a_capability_that_there_is_not_is_refused(tmp_path: Path) -> None:
    text = 'name = "x"\nback_end = "qemu"\ncapabilities = ["power", "console", "shell", "teleport"]\n'
    said = refused(tmp_path, text)
    assert said.startswith("FILE:3: capabilities")
    assert "'virtual-time'" in said


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (QEMU + "[labgrid]\nenvironment = 'x.yaml'\n", "belong together; add or remove one"),
        (f'name = "x"\nback_end = "labgrid"\n{LIVE}', "belong together; add or remove one"),
        (LABGRID + 'place = "a"\n', "they need a coordinator; add it"),
        (LABGRID + 'coordinator = "127.0.0.1:1"\n', "needs a place or reserve"),
        (
            LABGRID + 'coordinator = "h:1"\nplace = "a"\nreserve = { b = "c" }\n',
            "exclude each other; remove one",
        ),
        (QEMU + 'clock = "virtual"\n', 'capabilities = ["virtual-time"]'),
        ('name = "x"\nback_end = "qemu"\ncapabilities = ["power", "shell"]\n', "add console"),
        (LABGRID.replace('"shell"]', '"shell", "saved-state"]'), 'remove "saved-state"'),
        (QEMU + 'robot = "arm.toml"\n', "remove robot"),
        (LABGRID.replace('"shell"]', '"shell", "probe"]'), 'the capability "probe" and its port'),
        ('probe = "/dev/ttyACM0"\n' + LABGRID, "belong together; add or remove one"),
        (QEMU + 'board = "toaster"\n', "no machine for toaster; board is one of qemu-x86-64"),
        ('board = "pi"\n' + LABGRID, "runs another board's image; remove board"),
        ('board = "pi"\n' + QEMU.replace('"shell"]', '"shell", "saved-state"]'), "keeps no variables"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    assert sentence in refused(tmp_path, text)


def test_an_environment_that_is_not_there_is_refused(tmp_path: Path) -> None:
    said = refused(tmp_path, LABGRID.replace("x.yaml", "y.yaml"))
    assert said.startswith("FILE:5: labgrid.environment: there is no file")


def test_broken_toml_is_refused_with_its_line(tmp_path: Path) -> None:
    assert refused(tmp_path, QEMU + "clock = \n").startswith("FILE:4: not valid TOML")


def test_a_file_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(BenchFileError, match=r"no\.toml: cannot be read .*pi5\.toml.*virtual\.toml"):
        load_bench_file(tmp_path / "no.toml")


def test_a_result_tells_its_bench_and_whether_deadlines_say_something_there(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").touch()
    told = []
    for text in (QEMU, LABGRID, LABGRID.replace('"shell"]', '"shell", "fresh-machine"]')):
        (tmp_path / "bench.toml").write_text(text.replace('"x"', '"desk"'))
        told.append(load_bench_file(tmp_path / "bench.toml").described(virtual_time=False))
    assert told == [
        {"bench": "desk", "back_end": "qemu", "keeps_deadlines": False},
        {"bench": "desk", "back_end": "labgrid", "keeps_deadlines": True},
        {"bench": "desk", "back_end": "labgrid", "keeps_deadlines": False},
    ]


def test_virtual_time_is_one_bench_whichever_file_allows_it() -> None:
    files = ("virtual.toml", "virtual-time.toml")
    first, second = (load_bench_file(benches_folder() / file).described(virtual_time=True) for file in files)
    assert first == second
    assert first["bench"] == "virtual-time"


def test_a_bench_without_the_probe_that_it_promises_boots_nothing(tmp_path: Path) -> None:
    port = 'probe = "/dev/there-is-no-probe"\n'
    (tmp_path / "x.yaml").write_text("targets: {}\n")
    (tmp_path / "bench.toml").write_text(port + LABGRID.replace('"shell"]', '"shell", "probe"]'))
    promised = load_bench_file(tmp_path / "bench.toml")
    with pytest.raises(ProbePortError, match="/dev/there-is-no-probe does not exist"), open_bench(promised):
        pytest.fail("it was booted")


def test_an_environment_is_found_beside_its_bench_file(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").touch()
    (tmp_path / "bench.toml").write_text(LABGRID)
    bench = load_bench_file(tmp_path / "bench.toml")
    assert bench.labgrid is not None
    assert bench.labgrid.environment == tmp_path / "x.yaml"


@pytest.mark.parametrize(("heading", "model"), [("bench.toml", BenchFile), ("[labgrid]", LabgridSettings)])
def test_every_key_is_described(heading: str, model: type[BaseModel]) -> None:
    found = re.search(rf"^### .*`{re.escape(heading)}`.*\n(?P<text>(?:(?!#).*\n)*)", REFERENCE, re.MULTILINE)
    assert found is not None
    assert [key for key in model.model_fields if f"| `{key}` |" not in found["text"]] == []


def test_every_capability_is_described() -> None:
    assert [name for name in sorted(CAPABILITIES) if f"| `{name}` |" not in REFERENCE] == []


# Selection

_TESTS = """
import pytest

@pytest.fixture
def bench():
    raise AssertionError("nothing may be booted")

@pytest.mark.needs("fleet")
def test_fleet(bench):
    pass

def test_of_the_host():
    pass
"""
_CONFTEST = """
from holdfast_bench.selection import *

def pytest_addoption(parser):
    add_bench_option(parser)

def pytest_configure(config):
    load_bench(config)

def pytest_collection_modifyitems(config, items):
    leave_out(config, items)

def pytest_terminal_summary(terminalreporter, config):
    tell_what_is_left_out(terminalreporter, config.stash[BENCH], config.stash[LEFT_OUT])
"""


def selected(tmp_path: Path, tests: str, bench: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "conftest.py").write_text(_CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n")
    (tmp_path / "test_it.py").write_text(tests)
    (tmp_path / "bench.toml").write_text(bench)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--bench", "bench.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_the_bench_cannot_do_is_left_out_by_name_before_anything_is_booted(tmp_path: Path) -> None:
    run = selected(tmp_path, _TESTS, QEMU)
    assert run.returncode == 0, run.stdout
    assert "1 tests left out: the bench x does not offer what they need" in run.stdout
    assert "test_it.py::test_fleet: fleet" in run.stdout.splitlines()
    assert "1 passed, 1 deselected" in run.stdout
    assert "skipped" not in run.stdout


def test_what_the_bench_offers_is_run(tmp_path: Path) -> None:
    run = selected(tmp_path, _TESTS, QEMU.replace('"shell"', '"shell", "fleet"'))
    assert run.returncode == 1
    assert "nothing may be booted" in run.stdout
    assert "left out" not in run.stdout


def test_a_name_that_is_no_capability_stops_the_run(tmp_path: Path) -> None:
    run = selected(tmp_path, _TESTS.replace('"fleet"', '"flete"'), QEMU)
    assert run.returncode == 4
    assert "needs flete, which is no capability; there are console, fleet," in run.stderr


def test_a_bench_file_that_cannot_be_used_stops_the_run(tmp_path: Path) -> None:
    run = selected(tmp_path, _TESTS, QEMU + "colour = 3\n")
    assert run.returncode == 4
    assert "bench.toml:4: colour: is not a known key" in run.stderr


# Command line


def _holdfast(*arguments: str, place: Path | None = None) -> tuple[int, dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-m", "holdfast.cli", "bench", "run", *arguments, "--json"],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


@pytest.mark.parametrize(
    ("scenario", "lacking"),
    [
        ("offline", "fleet, links, simulated-drives"),
        ("power-cut", "fleet"),
        ("offline-5min", "fleet, links"),  # a scenario file
    ],
)
def test_a_scenario_that_the_bench_cannot_do_is_refused_before_anything_is_booted(
    scenario: str, lacking: str
) -> None:
    code, said = _holdfast(scenario, "--bench", str(benches_folder() / "pi5.toml"))
    assert code == 1
    assert said["error"] == f"the bench pi5 does not offer {lacking}, which {scenario} needs"


@pytest.mark.parametrize(
    ("robot", "said"),
    [
        (
            "",
            "does not offer fresh-machine, which a scenario for diff_drive.toml (its bench file names no robot)",
        ),
        ('robot = "gripper.toml"\n', "(gripper.toml stands here) needs"),
        ('robot = "diff_drive.toml"\n', "labgrid: open:"),
    ],
    ids=["none named", "another", "the scenario's"],
)
def test_a_board_plays_scenarios_of_the_robot_that_it_is(tmp_path: Path, robot: str, said: str) -> None:
    (tmp_path / "x.yaml").write_text("targets: {}\n")
    (tmp_path / "bench.toml").write_text(LABGRID.replace("[labgrid]", f"{robot}[labgrid]"))
    # What a run leaves, this one too, is below the folder that it is run in.
    (tmp_path / "image").mkdir()
    (tmp_path / "image/mkosi.conf").touch()
    bench_folder = benches_folder().parent
    (tmp_path / "examples").symlink_to(bench_folder.parent / "examples")
    (tmp_path / "hil_tests").mkdir()
    (tmp_path / "hil_tests/controllers").symlink_to(bench_folder / "controllers")
    scenario = bench_folder / "scenarios/failing-disk.toml"
    code, answer = _holdfast(str(scenario), "--bench", str(tmp_path / "bench.toml"), place=tmp_path)
    assert code == 1
    assert said in str(answer["error"])


def test_a_bench_of_the_guests_clock_runs_nothing_in_real_time() -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "holdfast.cli", "bench", "run", "offline"),
            *("--bench", str(benches_folder() / "virtual-time.toml")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "offline runs in real time only" in done.stderr
