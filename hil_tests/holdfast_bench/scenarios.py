"""The scenario files of the bench and of whoever writes one, read with errors that name file, line and key."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from holdfast.toml_positions import key_lines, line_of
from holdfast_bench.guest.scenario_file import Scenario
from holdfast_bench.result import BenchError
from holdfast_image.build import repository_root


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
        return Scenario.model_validate(tomllib.loads(text))
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
