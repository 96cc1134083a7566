"""The filter that puts a robot's own values into the description of its kind."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from plugins.filter.robot_toml import robot_toml

from holdfast.config import load_robot_config

ARM = Path(__file__).resolve().parents[2] / "examples/robots/arm.toml"


def test_values_are_set_and_everything_else_stays() -> None:
    before = ARM.read_text()
    after = robot_toml(before, {"robot": {"id": "arm-07"}})
    assert after == before.replace('id = "arm-01"', 'id = "arm-07"')
    assert after != before


def test_the_result_is_a_valid_robot(tmp_path: Path) -> None:
    file = tmp_path / "robot.toml"
    file.write_text(robot_toml(ARM.read_text(), {"robot": {"id": "arm-07"}, "ota": {"poll_s": 5.0}}))
    config = load_robot_config(file, {})
    assert config.robot.id == "arm-07"
    assert config.ota.poll_s == 5.0
    assert config.ota.controller == "motion"


def test_a_missing_section_is_added() -> None:
    assert tomllib.loads(robot_toml('[robot]\nid = "a"\n', {"ota": {"controller": "b"}})) == {
        "robot": {"id": "a"},
        "ota": {"controller": "b"},
    }


def test_the_same_settings_a_second_time_change_nothing() -> None:
    settings: dict[str, dict[str, Any]] = {
        "robot": {"id": "arm-07"},
        "telemetry": {"rate_hz": 2.0},
        "worker": {"max_tasks": 3},
    }
    once = robot_toml(ARM.read_text(), settings)
    assert robot_toml(once, settings) == once


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("[robot", "robot_file is not valid TOML"), ("robot = 1", r"robot must be a table; write \[robot\]")],
)
def test_a_broken_description_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(AnsibleFilterError, match=sentence):
        robot_toml(text, {"robot": {"id": "a"}})
