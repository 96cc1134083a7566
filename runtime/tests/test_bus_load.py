"""The load of a robot's links, as both sides compute it and as `holdfast robot check` shows it."""

import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from holdfast.bus_load import can_frame_bits
from holdfast.cli import main
from holdfast.config import load_robot_config
from holdfast.places import executable

FILES = Path(__file__).parent / "robot_toml"
ARM = Path(__file__).parents[2] / "examples" / "robots" / "arm.toml"
VALID = [*sorted((FILES / "valid").glob("*.toml")), ARM]


def test_frame_bits_are_the_worst_case_of_the_standard() -> None:
    assert [can_frame_bits(size) for size in (0, 1, 8)] == [55, 65, 135]


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_both_sides_compute_the_same_load(file: Path) -> None:
    command = [str(executable("holdfast-control")), "--check", str(file)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    loads = [line for line in said[1:] if not line.startswith("warning")]
    assert loads == [str(load) for load in load_robot_config(file, {}).link_loads]


def test_a_bus_without_hardware_has_no_limit() -> None:
    (load,) = load_robot_config(ARM, {}).link_loads
    assert load.bits_per_s > 1_000_000
    assert load.share == 0.0


def busy_robot(folder: Path) -> Path:
    """Three drives at the full rate on one bus: it carries them, with nothing to spare."""
    text = (FILES / "valid" / "every_kind.toml").read_text().replace("unix:plant.sock", "can:can0")
    file = folder / "robot.toml"
    file.write_text(text)
    return file


def test_check_shows_the_load_and_warns_without_reserve(tmp_path: Path) -> None:
    busy = busy_robot(tmp_path)
    shown = CliRunner().invoke(main, ["robot", "check", str(busy)])
    assert shown.exit_code == 0, shown.output
    assert "77.4 % of 1000000 bit/s" in shown.output
    assert "warning" not in shown.output
    busy.write_text(f'{busy.read_text()}\n[[link]]\nname = "bus"\nurl = "can:can0"\nbitrate = 800000\n')
    shown = CliRunner().invoke(main, ["robot", "check", str(busy)])
    assert shown.exit_code == 0, shown.output
    assert "96.8 % of 800000 bit/s" in shown.output
    assert "warning: can:can0 has little reserve" in shown.output


def test_check_gives_the_load_as_json(tmp_path: Path) -> None:
    shown = CliRunner().invoke(main, ["robot", "check", "--json", str(busy_robot(tmp_path))])
    assert '"url": "can:can0"' in shown.output
    assert '"bitrate": 1000000.0' in shown.output


def test_a_bus_that_cannot_carry_the_frames_is_refused(tmp_path: Path) -> None:
    busy = busy_robot(tmp_path)
    busy.write_text(f'{busy.read_text()}\n[[link]]\nname = "bus"\nurl = "can:can0"\nbitrate = 500000\n')
    shown = CliRunner().invoke(main, ["robot", "check", str(busy)])
    assert shown.exit_code == 2
    assert "154.8 % of 500000 bit/s: it cannot carry the frames" in " ".join(shown.output.split())
