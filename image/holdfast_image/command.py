"""What the commands of `holdfast image` share: an error ends each with one sentence and its exit code."""

from __future__ import annotations

import json
import sys
from typing import NoReturn

import click

from holdfast_image.errors import ImageError, UsageError


def fail(command: str, error: ImageError, *, as_json: bool) -> NoReturn:
    """Print an error and end the program: 2 for a wrong option or place, else 1."""
    if as_json:
        click.echo(json.dumps({"ok": False, "error": str(error)}))
    else:
        click.echo(f"holdfast image {command}: {error}", err=True)
    sys.exit(2 if isinstance(error, UsageError) else 1)
