"""What all commands share: errors as one sentence, `--json`, exit codes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn, TypeVar

import click
from rich.console import Console

from holdfast.errors import HoldfastError, RejectedError

EXIT_CODES = "Exit codes: 0 done; 1 refused or failed; 2 wrong usage or configuration."
Result = TypeVar("Result")

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def json_option(function: Any) -> Any:
    """Add `--json` to a command."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")(
        function
    )


def run(work: Coroutine[Any, Any, Result], *, as_json: bool) -> Result:
    """Run a command's work; its errors end the program with a sentence and their exit code."""
    try:
        return asyncio.run(work)
    except HoldfastError as error:
        fail(error, as_json=as_json)
    except (KeyboardInterrupt, asyncio.CancelledError):
        errors.print("stopped before it was done")
        sys.exit(1)


def fail(error: HoldfastError, *, as_json: bool) -> NoReturn:
    """Print an error and end the program with its exit code."""
    if as_json:
        report = error.report if isinstance(error, RejectedError) else {}
        click.echo(json.dumps({**report, "ok": False, "error": str(error)}))
    elif isinstance(error, RejectedError):
        errors.print(f"[red]rejected[/red] at {error.stage}: ", end="")
        errors.print(str(error).removeprefix(f"{error.stage}: "), markup=False, soft_wrap=True)
    else:
        errors.print("[red]error:[/red] ", end="")
        errors.print(str(error), markup=False, soft_wrap=True)
    sys.exit(error.exit_code)


def print_json(body: dict[str, Any]) -> None:
    """Print the result of a command as one line of JSON."""
    click.echo(json.dumps({"ok": True, **body}))
