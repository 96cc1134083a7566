"""The labgrid back end with real processes on loopback: coordinator, exporter, client, a pseudo-terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast_bench.labgrid import LabgridError, LabgridLink
from holdfast_bench.labgrid.board import Board, opened
from holdfast_bench.labgrid.environment import ensure_environment
from holdfast_bench.labgrid.link import AGENT
from holdfast_bench.robot import wait_until

from .labgrid_bench import PLACE, Shelf, shelf

LIMIT_S = 120.0


@pytest.fixture(scope="module")
def on_shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    with shelf(tmp_path_factory.mktemp("shelf")) as made:
        yield made


@pytest.fixture
def board(on_shelf: Shelf, tmp_path: Path) -> Iterator[Board]:
    settings = on_shelf.bench(reserve='{ board = "simulated" }').labgrid
    assert settings is not None
    with opened(settings, tmp_path) as acquired:
        yield acquired


def test_a_reservation_gives_the_place_to_one_and_gives_it_back(on_shelf: Shelf, tmp_path: Path) -> None:
    settings = on_shelf.bench(reserve='{ board = "simulated" }').labgrid
    assert settings is not None
    with opened(settings, tmp_path) as board:
        assert board.place == PLACE
        held = on_shelf.client("-p", PLACE, "show")
        assert "acquired: None" not in held
        assert "state: acquired" in on_shelf.client("reservations")
    assert "acquired: None" in on_shelf.client("-p", PLACE, "show")
    assert on_shelf.client("reservations") == ""


def test_a_place_is_acquired_by_its_name(on_shelf: Shelf, tmp_path: Path) -> None:
    settings = on_shelf.bench(place=f'"{PLACE}"').labgrid
    assert settings is not None
    with opened(settings, tmp_path):
        assert "acquired: None" not in on_shelf.client("-p", PLACE, "show")


def test_a_part_of_a_places_name_is_not_its_name(on_shelf: Shelf, tmp_path: Path) -> None:
    settings = on_shelf.bench(place='"shelf"').labgrid
    assert settings is not None
    with (
        pytest.raises(LabgridError, match=r"there is no place shelf; did you mean shelf-3\?"),
        opened(settings, tmp_path),
    ):
        pass


def test_a_place_that_somebody_holds_is_refused_with_his_name(on_shelf: Shelf, tmp_path: Path) -> None:
    settings = on_shelf.bench(place=f'"{PLACE}"').labgrid
    assert settings is not None
    on_shelf.client("-p", PLACE, "acquire")
    try:
        with (
            pytest.raises(LabgridError, match=r"already acquired by .*/colleague"),
            opened(settings, tmp_path),
        ):
            pass
    finally:
        on_shelf.client("-p", PLACE, "release")


def test_tags_that_no_place_has_are_refused_and_the_reservation_is_taken_back(
    on_shelf: Shelf, tmp_path: Path
) -> None:
    settings = on_shelf.bench(reserve='{ board = "unheard-of" }', wait_s="0.1").labgrid
    assert settings is not None
    with (
        pytest.raises(LabgridError, match="no place with board=unheard-of became free"),
        opened(settings, tmp_path),
    ):
        pass


def test_power_goes_on_and_off_and_the_console_is_read_from_the_first_byte(
    board: Board, on_shelf: Shelf
) -> None:
    already = on_shelf.switched.read_text() if on_shelf.switched.exists() else ""
    board.on()
    board.console.wait_for("board login:", LIMIT_S)
    assert "Holdfast board boots" in board.console.since_mark()
    board.cut()
    wait_until("the supply is off", lambda: on_shelf.switched.read_text() == f"{already}on\noff\n")


def test_what_is_typed_reaches_the_board_and_its_answer_comes_back(board: Board) -> None:
    board.on()
    board.console.wait_for("board login:", LIMIT_S)
    board.console.write("root\n")
    assert board.console.wait_for(r"you typed: (\w+)", LIMIT_S)[1] == "root"
    assert board.console.ended is None
    board.cut()


def test_a_second_boot_is_read_apart(board: Board) -> None:
    for _ in range(2):
        board.on()
        board.console.wait_for("board login:", LIMIT_S)
        board.cut()
    assert board.console.since_mark().count("Holdfast board boots") == 1
    assert board.console.text().count("Holdfast board boots") == 2


def test_a_cable_that_labgrid_does_not_hold_is_refused(board: Board) -> None:
    with pytest.raises(LabgridError, match="take `links` out of the bench file's capabilities"):
        board.set_link("net0", up=False)


def test_the_place_is_released_when_the_agents_other_end_dies(on_shelf: Shelf, tmp_path: Path) -> None:
    agent = subprocess.Popen(
        [str(ensure_environment() / "python"), "-I", str(AGENT), str(tmp_path / "console.log")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert agent.stdin is not None
    assert agent.stdout is not None
    place = {"coordinator": on_shelf.coordinator, "place": PLACE}
    environment = str(on_shelf.folder / "environment.yaml")
    question = {"id": 1, "do": "open", "with": {"environment": environment, **place}}
    print(json.dumps(question), file=agent.stdin, flush=True)
    assert '"ok": true' in agent.stdout.readline()
    agent.communicate()
    assert "acquired: None" in on_shelf.client("-p", PLACE, "show")


# The pipe


def spoken(tmp_path: Path, program: str) -> LabgridLink:
    return LabgridLink(tmp_path, command=[sys.executable, "-u", "-c", program])


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[LabgridLink]:
    with LabgridLink(tmp_path) as link:
        yield link


def test_labgrids_pyserial_is_not_ours(agent: LabgridLink) -> None:
    assert agent.alive
    program = "import importlib.metadata as m; print(m.version('pyserial-labgrid'))"
    python = str(ensure_environment() / "python")
    assert subprocess.check_output([python, "-I", "-c", program], text=True).startswith("3.")
    here = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "PackageNotFoundError" in here.stderr


def test_an_environment_that_is_wrong_is_one_sentence(agent: LabgridLink, tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("targets:\n  main:\n    drivers:\n      NoSuchDriver: {}\n")
    with pytest.raises(LabgridError) as refused:
        agent.ask("open", environment=str(broken))
    assert "NoSuchDriver" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "Traceback" in agent.log.read_text()
    assert agent.alive


def test_an_environment_without_the_target_main_is_refused(agent: LabgridLink, tmp_path: Path) -> None:
    empty = tmp_path / "empty.yaml"
    empty.write_text("targets:\n  other: {}\n")
    with pytest.raises(LabgridError, match="has no target `main`; add it below `targets:`"):
        agent.ask("open", environment=str(empty))


def test_what_is_printed_goes_to_the_log_and_not_between_the_answers(
    agent: LabgridLink, tmp_path: Path
) -> None:
    loud = tmp_path / "loud.py"
    loud.write_text("import os\nprint('printed')\nos.system('echo by a child')\n")
    environment = tmp_path / "loud.yaml"
    environment.write_text(f"imports:\n  - {loud}\ntargets:\n  main:\n    resources: {{}}\n")
    assert agent.ask("open", environment=str(environment)) is None
    wait_until(
        "the log has both", lambda: {"printed", "by a child"} <= set(agent.log.read_text().split("\n"))
    )


def test_an_act_before_open_is_refused(agent: LabgridLink) -> None:
    with pytest.raises(LabgridError, match=r"power\.on: no target is open; ask for `open` first"):
        agent.ask("power.on")


def test_an_agent_that_dies_is_said_with_the_end_of_its_log(tmp_path: Path) -> None:
    link = spoken(tmp_path, "import sys; input(); sys.exit('out of cheese')")
    with pytest.raises(
        LabgridError, match=r"(?s)ended with code 1 instead of answering power\.on.*out of cheese"
    ):
        link.ask("power.on")
    with pytest.raises(LabgridError, match=r"instead of answering power\.cut"):
        link.ask("power.cut")
    link.close()


def test_an_agent_that_hangs_is_ended(tmp_path: Path) -> None:
    link = spoken(tmp_path, "import signal\nwhile True: signal.pause()")
    with pytest.raises(LabgridError, match=r"did not answer power\.on within 0 s and was ended"):
        link.ask("power.on", limit_s=0.1)
    assert not link.alive
    link.close()


@pytest.mark.parametrize("garbage", ["Traceback (most recent call last):", "[1]", "{}", "17"])
def test_garbage_on_its_output_is_no_answer(tmp_path: Path, garbage: str) -> None:
    link = spoken(tmp_path, f"input(); print({garbage!r}); input()")
    with pytest.raises(LabgridError, match="with what is no answer and was ended"):
        link.ask("power.on")
    assert not link.alive
    link.close()


def test_an_answer_to_another_question_is_none(tmp_path: Path) -> None:
    link = spoken(tmp_path, """input(); print('{"id": 7, "ok": true}'); input()""")
    with pytest.raises(LabgridError, match="answered question 7 instead of 1"):
        link.ask("power.on")
    link.close()


def test_the_answer_that_an_interrupted_asker_left_is_passed_over(tmp_path: Path) -> None:
    answers = """print('{"id": 1, "ok": true, "result": "late"}'); print('{"id": 2, "ok": true, "result": "mine"}')"""
    link = spoken(tmp_path, f"""input(); print('{{"id": 1, "ok": true}}'); input(); {answers}; input()""")
    assert link.ask("console.ended") is None
    assert link.ask("console.ended") == "mine"
    with pytest.raises(LabgridError):
        link.close()
