"""docs/reference.md names every configuration key, counter, stop cause and command."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from holdfast import config, relations
from holdfast.cli import main
from holdfast.places import executable

REFERENCE = (Path(__file__).parents[2] / "docs" / "reference.md").read_text()
TABLES: dict[str, type[BaseModel]] = {
    "[robot]": config.Robot,
    "[control]": config.Control,
    "[safety]": config.Safety,
    "[worker]": config.Worker,
    "[agent]": config.Agent,
    "[ota]": config.Ota,
    "[telemetry]": config.Telemetry,
    "[estimator]": config.Estimator,
    "[[command]]": config.CommandChannel,
    "[[state]]": config.StateChannel,
    "[[drive]]": config.Drive,
    "[[sensor]]": config.Sensor,
    "[[link]]": config.LinkSettings,
    "[[coupling]]": relations.Coupling,
    "[[zone]]": relations.Zone,
    "[workspace]": relations.Workspace,
    "[[workspace.box]]": relations.Box,
    "[[input]]": config.InputChannel,
}


def _section(heading: str) -> str:
    """Return the text from the heading that holds `heading` to the next heading."""
    begin = next(
        match.end()
        for match in re.finditer(r"^### .*$", REFERENCE, re.MULTILINE)
        if f"`{heading}`" in match.group()
    )
    return REFERENCE[begin : REFERENCE.find("\n#", begin)]


@pytest.mark.parametrize("heading", TABLES)
def test_every_key_is_described(heading: str) -> None:
    documented = _section(heading)
    missing = [key for key in TABLES[heading].model_fields if f"| `{key}` |" not in documented]
    assert not missing


def test_every_counter_and_stop_cause_is_described() -> None:
    layout = json.loads(subprocess.check_output([executable("holdfast-control"), "--print-layout"]))
    names = [*layout["enums"]["Counter"], *layout["enums"]["StopCause"], *layout["enums"]["EstimateHealth"]]
    missing = [name for name in names if name not in ("none", "count") and f"| `{name}` |" not in REFERENCE]
    assert not missing


def _commands(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(path, command)]
    context = click.Context(command)
    children = [(name, command.get_command(context, name)) for name in command.list_commands(context)]
    return [found for name, child in children if child for found in _commands(child, f"{path} {name}")]


def test_every_command_is_described_and_has_an_example() -> None:
    commands = _commands(main, "holdfast")
    assert len(commands) > 10
    assert [path for path, _ in commands if f"| `{path}` |" not in REFERENCE] == []
    assert [path for path, command in commands if "Example" not in (command.help or "")] == []
