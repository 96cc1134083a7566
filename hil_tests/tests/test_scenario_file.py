"""Scenario files: what is accepted, what is refused and where, and when things happen."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_bench.guest.play import timetable
from holdfast_bench.play_scenario import needs
from holdfast_bench.result import BenchError
from holdfast_bench.scenarios import find_scenario, load_scenario, scenario_files

HEAD = """\
shows = "something"
robot = "arm.toml"
controller = "sine.wat"
seconds = 10
fleet = true
"""


def test_every_file_of_the_bench_is_a_scenario() -> None:
    assert {"offline-hour", "offline-5min"} <= scenario_files().keys()
    for file in scenario_files().values():
        load_scenario(file)


@pytest.mark.parametrize(
    ("key", "line", "name"),
    [("robot", 2, "diff_driv.toml"), ("robot", 2, "../arm.toml"), ("controller", 3, "sin.wat")],
)
def test_what_the_image_does_not_have_is_told_before_anything_boots(
    key: str, line: int, name: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    there = {"robot": "arm.toml", "controller": "sine.wat"}[key]
    file.write_text(HEAD.replace(there, name))
    with pytest.raises(BenchError) as refused:
        load_scenario(file)
    assert str(refused.value).startswith(f"{file}:{line}: {key}: there is no '{name}'; the image has ")
    assert there in str(refused.value)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (
            '[[event]]\ndo = "link"\nat_s = 1\nup = "maybe"\n',
            9,
            "event.0.up: Input should be a valid boolean",
        ),
        ('[[event]]\ndo = "link"\nat_s = nan\nup = true\n', 8, "event.0.at_s: Input should be"),
        ('[[event]]\ndo = "jump"\nat_s = 1\n', 6, "Input tag 'jump' found using 'do'"),
        ("[[event]]\nat_s = 1\n", 6, "Unable to extract tag"),
        ('[[event]]\ndo = "task"\nat_s = 1\nwhen = 3\n', 9, "event.0.when: Extra inputs are not permitted"),
        (
            '[[event]]\ndo = "task"\nat_s = 11\n',
            1,
            "event 1 is at 11 s, after the end of the scenario at 10 s",
        ),
        (
            '[[event]]\ndo = "task"\nat_s = 1\nevery_s = 0\n',
            9,
            "event.0.every_s: Input should be greater than 0",
        ),
        ('[[event]]\ndo = "hog"\nat_s = 1\npriority = 100\nfor_s = 1\n', 9, "event.0.priority"),
        ("[expect]\nmode = 5\n", 7, "expect.mode: Input should be a valid string"),
        ("[expect]\nmised = 0\n", 7, "expect.mised: Extra inputs"),
        ('[environment]\nPATH = "x"\n', 7, "environment.PATH"),
        ('[environment]\nHOLDFAST_SAFETY__core_timeout_ms = "50"\n', 7, "environment.HOLDFAST_SAFETY__core"),
        ('[environment]\nHOLDFAST_SAFETY__CORE_TIMEOUT_MS = "soon"\n', 6, "core_timeout_ms"),
        ('[environment]\nHOLDFAST_SAFTY__CORE_TIMEOUT_MS = "50"\n', 6, "safty: is not a section"),
        ('[environment]\nHOLDFAST_MINE = "a\\rb"\n', 6, "expected HOLDFAST_KEY=VALUE, found 'b'"),
        (
            '[[event]]\ndo = "deploy"\nat_s = 1\ncontroller = "cruse.wat"\n',
            9,
            "event.0.controller: there is no",
        ),
        (
            '[expect]\nmodel = "answers"\n',
            1,
            'expect.model needs an event that asks it; write do = "ask_model"',
        ),
        ("watch_ms = 0\n", 6, "watch_ms: Input should be greater than or equal to 5"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_key(tmp_path: Path, text: str, line: int, said: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(HEAD + text)
    with pytest.raises(BenchError) as error:
        load_scenario(file)
    assert str(error.value).startswith(f"{file}:{line}: ")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("event", "needed"),
    [
        ('do = "ask_model"\nevery_s = 1', {"fleet", "ollama"}),
        ('do = "restart"\npart = "ollama"', {"fleet", "ollama"}),
        ('do = "signal"\npart = "ollama"\nsignal = "STOP"', {"fleet", "ollama"}),
        ('do = "signal"\npart = "nats"\nsignal = "STOP"', {"fleet"}),
    ],
)
def test_what_is_done_to_language_models_needs_an_image_with_them(
    tmp_path: Path, event: str, needed: set[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f"{HEAD}[[event]]\nat_s = 1\n{event}\n")
    scenario = load_scenario(file)
    assert needs(scenario) == needed
    assert scenario.needs_ollama == ("ollama" in needed)


def test_what_needs_a_fleet_says_so(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    alone = HEAD.replace("fleet = true\n", "")
    for text in ('[[event]]\ndo = "link"\nat_s = 1\nup = true\n', '[expect]\nfleet = "complete"\n'):
        file.write_text(alone + text)
        with pytest.raises(BenchError, match="needs a fleet; write fleet = true"):
            load_scenario(file)


@pytest.mark.parametrize("content", [b"", b"shows = ", b"\xff\xfe", b"[[event]]\n" * 3])
def test_what_is_no_scenario_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mine.toml"
    file.write_bytes(content)
    with pytest.raises(BenchError, match=r"mine\.toml"):
        load_scenario(file)


def test_a_name_that_is_none_says_where_names_are() -> None:
    with pytest.raises(BenchError, match="no scenario 'offline-day'; `holdfast bench list`"):
        find_scenario("offline-day")
    with pytest.raises(BenchError, match="No such file"):
        find_scenario("nowhere/mine.toml")


def test_events_come_in_their_order_and_again_until_the_end(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        HEAD
        + '[[event]]\ndo = "task"\nat_s = 2\nevery_s = 4\n[[event]]\ndo = "link"\nat_s = 6\nup = false\n'
        + '[[event]]\ndo = "link"\nat_s = 0.5\nup = true\n'
    )
    moments = timetable(load_scenario(file))
    assert [at_s for at_s, _ in moments] == [0.5, 2.0, 6.0, 6.0]
    assert [event.do for _, event in moments] == ["link", "task", "task", "link"]
