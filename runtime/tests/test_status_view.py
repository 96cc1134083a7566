"""What `holdfast robot status` and `holdfast up` show of the loop, the estimates and missing real time."""

import io
import json
import subprocess
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from holdfast.layout import Layout
from holdfast.places import executable
from holdfast.robot_view import render
from holdfast.status import PHASES, estimates


@pytest.fixture(scope="module")
def layout() -> Layout:
    printed = subprocess.check_output([executable("holdfast-control"), "--print-layout"])
    return Layout.from_description(json.loads(printed))


def shown(status: dict[str, Any]) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(render(status))
    return console.export_text()


def sample_of(layout: Layout) -> Any:
    names = [name for name in layout.state.dtype.names or () if name.startswith("data.")]
    fields: Any = layout.state.dtype.fields
    dtype = np.dtype([(name.removeprefix("data."), fields[name][0]) for name in names])
    return np.zeros(1, dtype=dtype)[0]


def test_missing_real_time_is_shown_as_degraded_with_its_reasons() -> None:
    status = {
        "control": {
            "mode": "armed",
            "realtime": {"degraded": True, "shortfalls": ["no lock; grant it", "no rt; boot it"]},
        }
    }
    text = shown(status)
    assert "degraded" in text
    assert "no lock; grant it" in text
    assert "no rt; boot it" in text


def test_why_the_robot_stopped_is_shown() -> None:
    assert "drive elbow is silent" in shown(
        {"control": {"mode": "disarmed", "stopped": "drive elbow is silent"}}
    )
    assert "stopped" not in shown({"control": {"mode": "running", "stopped": ""}})


def test_a_stop_record_that_cannot_be_written_is_shown() -> None:
    lacks = {"latched": False, "record_error": "estop.json: no space left"}
    assert "stop record: estop.json: no space left; nothing arms before" in shown({"safety": lacks})
    assert "stop record" not in shown({"safety": {"latched": False, "record_error": None}})


def test_each_part_of_a_cycle_is_shown() -> None:
    durations = {"p50": 11.0, "p99": 22.0, "max": 33.0}
    loop = {"cycles": 1, "missed": 0, "phases_us": dict.fromkeys(PHASES, durations)}
    lines = shown({"loop": loop}).splitlines()
    for phase in PHASES:
        row = next(line for line in lines if phase in line)
        assert [number in row for number in ("11", "22", "33")] == [True] * 3


def test_estimates_are_named_by_their_channels(layout: Layout) -> None:
    sample = sample_of(layout)
    health = {name: value for value, name in layout.enums["EstimateHealth"].items()}
    sample["joint_health"][0] = health["healthy"]
    sample["joint_position"][0] = 0.25
    sample["joint_health"][2] = health["unhealthy"]
    sample["joint_position"][2] = np.nan
    sample["attitude_health"] = health["healthy"]
    sample["attitude"] = [1.0, 0.0, 0.0, 0.0]
    found = estimates(sample, layout, {"commands": ["elbow", "gripper", "wheel"], "states": []})
    assert set(found["joints"]) == {"elbow", "wheel"}
    assert found["joints"]["elbow"]["position"] == 0.25
    assert found["joints"]["wheel"]["position"] is None
    assert found["attitude"]["quaternion"] == [1.0, 0.0, 0.0, 0.0]
    json.dumps(found, allow_nan=False)
    text = shown({"estimate": found})
    assert "elbow" in text
    assert "unhealthy" in text
    assert "attitude" in text


def test_without_estimates_there_is_no_table(layout: Layout) -> None:
    found = estimates(sample_of(layout), layout, {"commands": ["elbow"], "states": []})
    assert found == {"joints": {}, "attitude": None}
    assert "Estimates" not in shown({"estimate": found})
