"""What the commands of `holdfast image` share: options, and how an error ends each: one sentence and its exit code."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NoReturn

import click

from holdfast_image.boards import BOARDS
from holdfast_image.errors import ImageError, UsageError

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as JSON on standard output."
)
board_option = click.option(
    "--board", type=click.Choice(list(BOARDS)), default="qemu-x86-64", show_default=True
)
mirror_option = click.option(
    "--mirror",
    metavar="URL",
    envvar="HOLDFAST_MIRROR",
    help="Debian archive; default: the one this machine's apt uses.",
)
packages_option = click.option(
    "--packages",
    "packages_file",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="With packages from archives of your own, as FILE (TOML) says: NVIDIA's, for example.",
)


def fail(command: str, error: ImageError, *, as_json: bool) -> NoReturn:
    """Print an error and end the program: 2 for a wrong option or place, else 1."""
    if as_json:
        click.echo(json.dumps({"ok": False, "error": str(error)}))
    else:
        click.echo(f"holdfast image {command}: {error}", err=True)
    sys.exit(2 if isinstance(error, UsageError) else 1)
