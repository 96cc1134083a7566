"""What stands above the login prompt."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_image.guest.console import is_example, issue, robot_id, state

EXAMPLE = '[robot]\nid = "example"\n[control]\ntier1_hz = 1000\n'


def test_it_names_robot_version_state_and_addresses() -> None:
    text = issue("1.2.0", "pi", "porter-3", "disarmed", example=False)
    assert text.startswith("Holdfast 1.2.0 for pi: robot porter-3\n")
    assert r"\n, addresses \4 \6" in text
    assert "After its start: disarmed\n" in text
    assert r"ssh root@\4 holdfast robot status" in text


def test_the_example_robot_is_told_to_become_one() -> None:
    assert "Describe yours in /etc/holdfast/robot.toml" in issue("1.2.0", "pi", "x", "disarmed", example=True)


def test_nothing_that_is_shown_is_a_code_of_agetty() -> None:
    assert r"at C:\\nowhere" in issue("1.2.0", "pi", "x", r"at C:\nowhere", example=False)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"mode": "running", "arm_blockers": ["x"]}, "running"),
        ({"mode": "disarmed", "arm_blockers": []}, "disarmed"),
        (
            {"mode": "disarmed", "arm_blockers": ["no home", "no drive"]},
            "disarmed; before arming: no home; no drive",
        ),
    ],
)
def test_what_stands_before_arming_is_told(status: dict[str, object], said: str) -> None:
    assert state(status) == said


@pytest.mark.parametrize(
    ("robot", "example"),
    [
        (EXAMPLE, True),
        (EXAMPLE.replace('"example"', '"porter-3"'), True),
        (EXAMPLE.replace("1000", "500"), False),
        ("[robot\n", False),
    ],
)
def test_the_example_is_known_whatever_its_id(tmp_path: Path, robot: str, example: bool) -> None:
    (tmp_path / "robot.toml").write_text(robot)
    (tmp_path / "example.toml").write_text(EXAMPLE)
    assert is_example(tmp_path / "robot.toml", tmp_path / "example.toml") == example


@pytest.mark.parametrize("text", ["", "[robot]\n", "robot = 1\n", "[robot\n", "\x00"])
def test_a_robot_without_an_id_says_why(tmp_path: Path, text: str) -> None:
    file = tmp_path / "robot.toml"
    file.write_text(text)
    assert robot_id(file).startswith(f"without an id ({file}: ")
