"""`holdfast ota`: exit codes, JSON, sentences instead of tracebacks, an example for every command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from holdfast_ota.cli import ota
from holdfast_ota.errors import Reason

SINE = Path(__file__).resolve().parents[2] / "examples/controllers/sine.wat"
DOCUMENT = (Path(__file__).resolve().parents[2] / "docs/ota.md").read_text()


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(ota, [str(argument) for argument in arguments])


def answer(*arguments: str | Path, code: int = 0) -> dict[str, Any]:
    result = call(*arguments, "--json")
    assert result.exit_code == code, result.output
    parsed: dict[str, Any] = json.loads(result.stdout)
    assert parsed["ok"] is (code == 0)
    return parsed


def commands(group: click.Group, *path: str) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found += commands(command, *path, name)
        else:
            found.append((*path, name))
    return found


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    assert call("init", tmp_path / "fleet").exit_code == 0
    return tmp_path / "fleet"


@pytest.mark.parametrize("command", commands(ota), ids=" ".join)
def test_every_command_has_help_with_an_example_and_is_documented(command: tuple[str, ...]) -> None:
    help_text = call(*command, "--help").output
    assert "Example:" in help_text
    assert f"holdfast ota {' '.join(command)}" in help_text
    assert "--json" in help_text
    assert f"`{' '.join(command)} " in DOCUMENT


def test_every_reason_is_documented() -> None:
    for reason in Reason:
        assert f"| `{reason}` |" in DOCUMENT


def test_publish_mirror_and_status_as_a_program_sees_them(fleet: Path, tmp_path: Path) -> None:
    stick = tmp_path / "stick"
    first = answer("publish", "controller", SINE, "--dir", fleet, "--name", "motion", "--mirror", stick)
    assert (first["version"], first["path"], first["mirror"]["to"]) == (
        "1",
        "controllers/motion/1.wasm",
        str(stick),
    )
    second = answer("publish", "controller", SINE, "--dir", fleet, "--name", "motion")
    assert second["mirror"]["written"] > 0, "the mirror is remembered"
    assert answer("mirror", fleet)["written"] == 0
    assert answer("refresh", fleet)["mirror"]["written"] == 2
    status = answer("status", fleet)
    assert [item["version"] for item in status["targets"]] == ["1", "2"]
    assert {"root", "timestamp", "controllers"} <= {role["role"] for role in status["roles"]}


def test_a_person_sees_tables_and_sentences(fleet: Path) -> None:
    shown = call("publish", "controller", SINE, "--dir", fleet).output
    assert "controller sine 1 is signed" in shown
    listed = call("status", fleet).output
    assert "sine" in listed
    assert "mirror: none" in listed


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"(module", "does not compile"),
        (b"\0asm\1\0\0\0junk", "does not compile"),
        (b"\xff\xfe", "neither WebAssembly text nor binary"),
        (b"(module)", "does not export process(i64)"),
        (b'(module (func (export "process")))', "does not export process(i64)"),
        (b'(module (memory (export "process") 1))', "does not export process(i64)"),
        (
            b'(module (import "os" "exit" (func)) (func (export "process") (param i64)))',
            "imports os.exit, which no robot has",
        ),
    ],
)
def test_what_is_no_controller_is_not_signed(
    fleet: Path, tmp_path: Path, content: bytes, sentence: str
) -> None:
    file = tmp_path / "bad.wat"
    file.write_bytes(content)
    assert sentence in answer("publish", "controller", file, "--dir", fleet, code=1)["error"]
    assert answer("status", fleet)["targets"] == []


def test_a_failed_mirror_says_that_the_rest_is_done(fleet: Path) -> None:
    arguments = ("publish", "controller", SINE, "--dir", fleet, "--mirror", "ftp://nowhere")
    error = answer(*arguments, code=1)["error"]
    assert "is signed, but not mirrored" in error
    assert f"holdfast ota mirror {fleet}" in error


def test_failures_are_sentences_with_exit_code_1(fleet: Path, tmp_path: Path) -> None:
    assert "exists" in answer("init", fleet, code=1)["error"]
    assert "is no repository" in answer("refresh", tmp_path, code=1)["error"]
    assert "no mirror yet" in answer("mirror", fleet, code=1)["error"]
    assert (
        "cannot be read"
        in answer("publish", "controller", tmp_path / "absent.wat", "--dir", fleet, code=1)["error"]
    )
    shown = call("init", fleet)
    assert shown.exit_code == 1
    assert "Traceback" not in shown.output


def test_wrong_usage_is_exit_code_2(fleet: Path) -> None:
    assert call("publish", "controller").exit_code == 2
    assert call("init").exit_code == 2
    assert call("publish", "controller", SINE, "--rollout", "many").exit_code == 2
