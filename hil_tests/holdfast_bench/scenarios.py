"""The scenario files of the bench and of whoever writes one, read with errors that name file, line and key."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from holdfast.config import load_robot_config
from holdfast.errors import ConfigError
from holdfast.session import env_lines
from holdfast.toml_positions import KeyPath, key_lines, line_of
from holdfast_bench.guest.scenario_file import Deploy, Scenario
from holdfast_bench.result import BenchError
from holdfast_image.build import repository_root
from holdfast_image.errors import UsageError
from holdfast_image.guest import firstboot


def scenario_files() -> dict[str, Path]:
    """Return the files of hil_tests/scenarios by name."""
    folder = repository_root() / "hil_tests" / "scenarios"
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def load_scenario(file: Path) -> Scenario:
    """Read a scenario file.

    Raises:
        BenchError: names file, line and key, and what is expected there.
    """
    try:
        text = file.read_text(encoding="utf-8")
        scenario = Scenario.model_validate(tomllib.loads(text))
    except OSError as error:
        raise BenchError(f"{file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BenchError(f"{file}: is not TOML: {error}") from error
    except ValidationError as error:
        lines = key_lines(text)
        found = []
        for problem in error.errors():
            # pydantic names the member of the union between the index and the key.
            path = tuple(
                part for i, part in enumerate(problem["loc"]) if not (i == 2 and problem["loc"][0] == "event")
            )
            line = line_of(lines, path)
            found.append(f"{file}:{line}: {'.'.join(map(str, path)) or 'scenario'}: {problem['msg']}")
        raise BenchError("\n".join(found)) from error
    _require_what_the_image_has(file, text, scenario)
    return scenario


def _require_what_the_image_has(file: Path, text: str, scenario: Scenario) -> None:
    """Refuse a robot, a controller or a setting of which the robot would say after minutes that it has none.

    Raises:
        BenchError: names file, line and key, and what there is.
    """
    root = repository_root()
    robots = root / "examples/robots"
    named: list[tuple[KeyPath, str, tuple[Path, ...]]] = [(("robot",), scenario.robot, (robots,))]
    controllers = (root / "examples/controllers", root / "hil_tests/controllers")
    named.append((("controller",), scenario.controller, controllers))
    for number, event in enumerate(scenario.event):
        if isinstance(event, Deploy):
            named.append((("event", number, "controller"), event.controller, controllers))
    lines = key_lines(text)
    for path, name, folders in named:
        there = sorted(entry.name for folder in folders for entry in folder.iterdir() if entry.is_file())
        if name not in there:
            key = ".".join(map(str, path))
            raise BenchError(
                f"{file}:{line_of(lines, path)}: {key}: there is no {name!r}; the image has {', '.join(there)}"
            )
    try:
        firstboot.environment(env_lines(scenario.environment))
        load_robot_config(robots / scenario.robot, scenario.environment)
    except (UsageError, ConfigError) as error:
        raise BenchError(f"{file}:{line_of(lines, ('environment',))}: environment: {error}") from error


def find_scenario(name: str) -> tuple[str, Scenario]:
    """Return the scenario of hil_tests/scenarios with this name, or of this file, and its name.

    Raises:
        BenchError: there is none, or it is not written as it must be.
    """
    files = scenario_files()
    file = files.get(name) or Path(name)
    if file.suffix != ".toml":
        raise BenchError(
            f"there is no scenario {name!r}; `holdfast bench list` names all, and a file of your own ends with .toml"
        )
    return file.stem, load_scenario(file)
