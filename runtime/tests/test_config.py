"""robot.toml as the Python side reads it, on the files that the C++ side reads too."""

import re
import subprocess
from pathlib import Path

import pytest

from holdfast.config import load_robot_config
from holdfast.errors import ConfigError
from holdfast.places import executable

FILES = Path(__file__).parent / "robot_toml"
ARM = Path(__file__).parents[2] / "examples" / "robots" / "arm.toml"
VALID = sorted((FILES / "valid").glob("*.toml"))
INVALID = sorted((FILES / "invalid").glob("*.toml"))


def places(message: str) -> set[tuple[str, str]]:
    """Line and key of each problem."""
    found = re.findall(r"\.toml:(\d+): ([^:\n]+):", message)
    return set(found)


def check(file: Path) -> "subprocess.CompletedProcess[str]":
    command = [str(executable("holdfast-control")), "--check", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_the_shared_set_is_there() -> None:
    assert len(VALID) >= 5
    assert len(INVALID) >= 50


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_valid_file_is_accepted_by_both(file: Path) -> None:
    load_robot_config(file, {})
    assert check(file).returncode == 0


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_invalid_file_is_refused_with_line_and_key(file: Path) -> None:
    expected = re.match(r"# expect: (.+) line (\d+)", file.read_text(errors="replace"))
    assert expected, "the first line says what is expected"
    with pytest.raises(ConfigError) as refused:
        load_robot_config(file, {})
    assert f"{file}:{expected[2]}: {expected[1]}" in str(refused.value)


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_both_sides_name_the_same_places(file: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        load_robot_config(file, {})
    checked = check(file)
    assert checked.returncode == 2
    said = checked.stdout + checked.stderr
    ours, theirs = places(str(refused.value)), places(said)
    assert theirs <= ours, said
    # The values of these sections are Python's to check; C++ knows their keys.
    assert all(key.startswith(("worker", "agent", "ota", "telemetry")) for _, key in ours - theirs), said


def test_the_example_robot() -> None:
    config = load_robot_config(ARM, {})
    assert config.robot.id == "arm-01"
    assert config.command_names == ["shoulder_pan", "shoulder_lift", "elbow", "wrist", "spindle", "gripper"]
    assert len(config.state) == 10
    assert config.worker.heartbeat_ms == 100.0


def test_environment_overrides_single_values() -> None:
    environment = {
        "HOLDFAST_SAFETY__CORE_TIMEOUT_MS": "250",
        "HOLDFAST_SAFETY__WORKER_REQUIRED": "false",
        "HOLDFAST_ROBOT__ID": "007",
        "HOLDFAST_CONTROL__CPU": "1",
        "HOLDFAST_ESTIMATOR__TIMING_NOISE_MS": "50",
        "HOLDFAST_AGENT__PROVIDER": "ollama",
        "HOLDFAST_SAFETY__ESTOP_LINES": "bench:1,bench:2",
        "HOLDFAST_SAFETY__ENABLE_LINE": "bench:3",
        "HOLDFAST_AGENT__FALLBACK__PROVIDER": "ollama",
    }
    config = load_robot_config(ARM, environment)
    assert config.safety.core_timeout_ms == 250.0
    assert config.safety.worker_required is False
    assert config.robot.id == "007"
    assert config.safety.estop_lines == ["bench:1", "bench:2"]
    assert config.safety.enable_line == "bench:3"
    assert config.control.cpu == 1
    assert config.estimator.timing_noise_ms == 50.0
    assert config.agent is not None
    assert config.agent.fallback is not None


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [
        ("HOLDFAST_SAFETY__CORE_TIMEOUT_MS", "nan", "safety.core_timeout_ms"),
        ("HOLDFAST_SAFETY__CORE_TIMEOUT_MS", "soon", "safety.core_timeout_ms"),
        ("HOLDFAST_SAFETY__CORE_TIMEOUT_MS", "", "safety.core_timeout_ms"),
        ("HOLDFAST_SAFETY__WORKER_REQUIRED", "no", "safety.worker_required"),
        ("HOLDFAST_SAFETY__ESTOP_LINES", "bench:1", "safety.estop_lines"),
        ("HOLDFAST_SAFETY__ESTOP_LINES", "", "safety.estop_lines"),
        ("HOLDFAST_CONTROL__CPU", "1.5", "control.cpu"),
        ("HOLDFAST_CONTROL__CPUS", "1", "control.cpus"),
        ("HOLDFAST_MOTION__SPEED", "1", "motion"),
        ("HOLDFAST_ROBOT__ID", "", "robot.id"),
        ("HOLDFAST_WORKER__HEARTBEAT_MS", "400", "worker.heartbeat_ms"),
    ],
)
def test_wrong_override_is_refused_by_its_name(variable: str, value: str, key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_robot_config(ARM, {variable: value})
    assert f"{variable}: {key}: " in str(refused.value)


@pytest.mark.parametrize(
    ("section", "text", "key"),
    [
        ("worker", "max_tasks = 0", "worker.max_tasks"),
        ("worker", "heartbeat_ms = -1", "worker.heartbeat_ms"),
        ("worker", "max_tasks = true", "worker.max_tasks"),
        ("telemetry", "buffer_mb = 0", "telemetry.buffer_mb"),
        ("telemetry", "rate_hz = inf", "telemetry.rate_hz"),
        ("ota", "health_window_s = 0", "ota.health_window_s"),
        ("agent", 'model = "m"', "agent.provider"),
    ],
)
def test_the_workers_own_sections_are_checked_here(tmp_path: Path, section: str, text: str, key: str) -> None:
    minimal = (FILES / "valid" / "minimal.toml").read_text()
    file = tmp_path / "robot.toml"
    file.write_text(f"{minimal}\n[{section}]\n{text}\n")
    with pytest.raises(ConfigError, match=re.escape(f": {key}: ")):
        load_robot_config(file, {})


def test_every_problem_is_listed_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = ARM.read_text().replace('id = "arm-01"', 'id = "Arm 1"').replace("node = 6", "node = 99")
    file = tmp_path / "robot.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_robot_config(file, {})
    lines = [int(line) for line, _ in re.findall(r"\.toml:(\d+): ([^:\n]+):", str(refused.value))]
    assert len(lines) == 2
    assert lines == sorted(lines)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_robot_config(tmp_path / "none.toml", {})


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "robot.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"robot.toml:1: not valid TOML"):
        load_robot_config(file, {})
