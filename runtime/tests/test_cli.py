"""The command line as a person meets it: every command, in processes of their own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from holdfast.cli import main
from holdfast.robot_cli import robot
from holdfast.up_cli import up

REPOSITORY = Path(__file__).parents[2]
ARM = REPOSITORY / "examples" / "robots" / "arm.toml"
PATIENCE_S = 180.0


def holdfast(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "holdfast.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, **environment},
    )


def commands_of(group: click.Group) -> Iterator[click.Command]:
    """Every command of a group and of the groups in it."""
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from commands_of(command)
        else:
            yield command


@pytest.mark.parametrize("command", [*commands_of(robot), up], ids=lambda command: str(command.name))
def test_every_command_is_documented(command: click.Command) -> None:
    assert command.help
    assert "Example: holdfast " in command.help
    assert command.epilog
    assert "Exit codes" in command.epilog
    assert any("--json" in option.opts for option in command.params)


def test_the_parts_are_listed_and_absent_ones_say_so() -> None:
    result = CliRunner().invoke(main, ["--help"])
    assert result.exit_code == 0
    for part in ("up", "robot", "image", "bench", "ota"):
        assert re.search(rf"^  {part}\b", result.output, re.MULTILINE)
    assert CliRunner().invoke(main, ["fly"]).exit_code == 2


def test_check_names_the_place() -> None:
    bad = REPOSITORY / "runtime" / "tests" / "robot_toml" / "invalid" / "command_limits_inverted.toml"
    checked = holdfast("robot", "check", str(bad))
    assert checked.returncode == 2
    assert re.search(r"command_limits_inverted\.toml:\d+: command\.\w+\.limits: min", checked.stderr)
    assert holdfast("robot", "check", str(ARM)).returncode == 0
    found = json.loads(holdfast("robot", "check", str(ARM), "--json").stdout)
    assert [load.pop("url") for load in found.pop("links")] == ["can:vcan0"]
    assert found == {"ok": True, "robot": "arm-01", "commands": 6, "states": 10, "drives": 6, "sensors": 0}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("arm", "--robot", "nats://a:secret@127.0.0.1:1/r"), 1, "local act"),
        (("reset", "--robot", "nats://a:secret@127.0.0.1:1/r"), 1, "local act"),
        (("resume", "--robot", "nats://a:secret@127.0.0.1:1/r"), 1, "local act"),
        (("clear", "--robot", "nats://a:secret@127.0.0.1:1/r"), 1, "local act"),
        (("pause", "--robot", "nats://a:secret@127.0.0.1:1/r"), 1, "no broker"),
        (("pause", "--robot", "local"), 1, "is holdfast-control running"),
        (("estop", "--robot", "nats://a:secret@127.0.0.1:1/r"), 1, "no broker"),
        (("status", "--robot", "nats://a:secret@127.0.0.1:1"), 2, "names no robot"),
        (("status", "--robot", "/nowhere"), 2, "neither"),
        (("status", "--robot", str(ARM)), 2, "is not a session file"),
        (("deploy", "/nowhere.wat", "--robot", "local"), 2, "No such file"),
        (("deploy", str(REPOSITORY), "--robot", "local"), 2, "directory"),
        (("estop", "--robot", "local"), 1, "is holdfast-safety running"),
        (("arm", "--robot", "local"), 1, "is holdfast-control running"),
        (("status", "--robot", "local"), 1, "is holdfast-control running"),
    ],
)
def test_errors_are_sentences(arguments: tuple[str, ...], code: int, says: str, tmp_path: Path) -> None:
    ended = holdfast("robot", *arguments, HOLDFAST_RUN_DIR=str(tmp_path))
    assert ended.returncode == code
    said = " ".join((ended.stdout + ended.stderr).split())
    assert says in said
    assert "Traceback" not in said
    assert "secret" not in said


def test_a_session_that_has_ended_says_so(tmp_path: Path) -> None:
    file = tmp_path / "session.json"
    ended = subprocess.Popen(["true"])
    ended.wait()
    file.write_text(
        json.dumps(
            {
                "kind": "host",
                "robot_id": "r",
                "pid": ended.pid,
                "hub_url": "nats://a:b@127.0.0.1:1",
                "run_dir": "/x",
            }
        )
    )
    shown = holdfast("robot", "status", "--robot", str(file), "--json")
    assert shown.returncode == 2
    assert "has ended" in json.loads(shown.stdout)["error"]


@pytest.mark.parametrize("content", ["", "id = 1", "[robot]\nid = 'x'\n[motor]\n"])
def test_the_worker_refuses_a_wrong_configuration_in_sentences(tmp_path: Path, content: str) -> None:
    file = tmp_path / "robot.toml"
    file.write_text(content)
    ended = subprocess.run(
        [sys.executable, "-m", "holdfast.worker.main", "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
        env={**os.environ, "HOLDFAST_STATE_DIR": str(tmp_path / "state")},
    )
    assert ended.returncode == 2
    assert all(line.startswith(f"<3>worker: {file}:") for line in ended.stderr.splitlines())
    assert not (tmp_path / "state").exists()


# --- up ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "build"
    yield directory
    assert processes_of(directory) == []


def processes_of(build: Path) -> list[str]:
    """Return the command lines of the processes whose output goes below `build`."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            if str(build) in str((process / "fd" / "1").readlink()):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it has ended, or is somebody else's
    return found


def test_up_once_moves_and_stops_the_robot(build: Path) -> None:
    ended = holdfast("up", "--host", "--once", "--json", HOLDFAST_BUILD_DIR=str(build))
    assert ended.returncode == 0, ended.stderr + ended.stdout
    result = json.loads((build / "up.json").read_text())
    assert json.loads(ended.stdout) == {"ok": True, **result}
    assert result["kind"] == "host"
    assert result["cycles"] >= 1000
    assert result["missed"] >= 0
    assert result["ready_s"] > 0
    for figure in ("wake_us", "cycle_us"):
        assert 0 < result[figure]["p50"] <= result[figure]["p99"] <= result[figure]["max"]
    assert result["controller"]["state"] == "running"
    assert result["controller"]["ticks"] > 0
    assert len(result["controller"]["sha256"]) == 64
    assert result["estop_reaction_cycles"] >= 1
    assert not (build / "session.json").exists()


def start_up(build: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-m", "holdfast.cli", "up", "--host"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "HOLDFAST_BUILD_DIR": str(build)},
    )
    deadline = time.monotonic() + PATIENCE_S
    while not (build / "session.json").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def until_gone(build: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while processes_of(build):
        assert time.monotonic() < deadline, processes_of(build)
        time.sleep(0.05)


def test_ctrl_c_ends_everything_in_order(build: Path) -> None:
    process = start_up(build)
    session = str(build / "session.json")
    status = json.loads(holdfast("robot", "status", "--json", "--robot", session).stdout)
    assert status["robot"] == "arm-01"
    assert holdfast("robot", "status", "--robot", session).returncode == 0
    assert holdfast("robot", "estop", "--reason", "by test", "--robot", session).returncode == 0
    refused = holdfast("robot", "arm", "--robot", session, "--json")
    assert refused.returncode == 1
    assert "reset" in json.loads(refused.stdout)["error"]
    assert holdfast("robot", "reset", "--robot", session).returncode == 0
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, out
    assert "Traceback" not in out
    until_gone(build)
    assert not (build / "session.json").exists()


def test_nothing_is_left_when_it_is_killed(build: Path) -> None:
    process = start_up(build)
    assert len(processes_of(build)) == 6
    process.kill()
    process.communicate()
    until_gone(build)


def test_without_nats_server_it_says_what_to_install(build: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "setpriv").symlink_to("/usr/bin/setpriv")
    ended = holdfast("up", "--host", "--once", HOLDFAST_BUILD_DIR=str(build), PATH=str(tmp_path / "bin"))
    assert ended.returncode == 2
    assert "nats-server is not installed" in ended.stderr
