"""`holdfast ota`: the publisher's command line. Exit codes: 0 done, 1 refused or failed, 2 wrong usage."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from holdfast.errors import HoldfastError
from holdfast_ota.controller import read_controller
from holdfast_ota.errors import PublishError
from holdfast_ota.mirror import Mirrored, mirror, without_password
from holdfast_ota.repository import Expiry, Published, Repository
from holdfast_ota.target import Kind

P = ParamSpec("P")

_DEFAULT_DIRECTORY = Path("ota-repository")
_EXPIRY = Expiry()


class Output:
    """Says things to a person on stderr, and one JSON object to a program on stdout."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._stderr = Console(stderr=True, highlight=False)
        self._stdout = Console(highlight=False)

    def step(self, sentence: str) -> None:
        """Tell that a step is done."""
        if not self.as_json:
            self._stderr.print(f"  {sentence}", style="dim", markup=False)

    def warn(self, sentence: str) -> None:
        """Tell what a person should mend soon."""
        self._stderr.print(f"warning: {sentence}", style="yellow", markup=False, soft_wrap=True)

    def done(self, sentence: str, result: dict[str, Any]) -> None:
        """Tell the result."""
        if self.as_json:
            click.echo(json.dumps({"ok": True, **result}))
        else:
            self._stdout.print(sentence, markup=False, soft_wrap=True)

    def failed(self, error: HoldfastError) -> None:
        """Tell why nothing was done."""
        if self.as_json:
            click.echo(json.dumps({"ok": False, "error": str(error)}))
        else:
            self._stderr.print(f"error: {error}", style="red", markup=False, soft_wrap=True)

    def table(self, table: Table) -> None:
        """Show a table."""
        self._stdout.print(table)

    def progress(self) -> Progress:
        """Return a progress bar, which keeps silent for programs."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        return Progress(*columns, console=self._stderr, transient=True, disable=self.as_json)


def _command(function: Callable[Concatenate[Output, P], None]) -> Callable[..., None]:
    """Give a command `--json`, and turn errors into one sentence and an exit code."""

    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
    @wraps(function)
    def run(*args: Any, as_json: bool, **kwargs: Any) -> None:
        output = Output(as_json=as_json)
        try:
            function(output, *args, **kwargs)
        except HoldfastError as error:
            output.failed(error)
            sys.exit(error.exit_code)

    return run


@click.group()
def ota() -> None:
    r"""Publish signed updates for robots.

    Exit codes: 0 done, 1 refused or failed, 2 wrong usage.

    \b
    Example:
      holdfast ota init fleet
      holdfast ota publish controller sine.wat --name motion --dir fleet --mirror nats://127.0.0.1:4222
    """


_directory = click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))


@ota.command()
@_directory
@click.option("--root-keys", default=3, show_default=True, help="How many root keys to make.")
@click.option("--root-threshold", default=2, show_default=True, help="How many of them must sign a root.")
@click.option(
    "--root-days", default=_EXPIRY.root_days, show_default=True, help="Life of the root's signatures."
)
@click.option(
    "--targets-days", default=_EXPIRY.targets_days, show_default=True, help="Life of targets' signatures."
)
@click.option("--snapshot-days", default=_EXPIRY.snapshot_days, show_default=True, help="Life of snapshots.")
@click.option(
    "--timestamp-days", default=_EXPIRY.timestamp_days, show_default=True, help="Life of timestamps."
)
@_command
def init(
    output: Output,
    directory: Path,
    root_keys: int,
    root_threshold: int,
    root_days: float,
    targets_days: float,
    snapshot_days: float,
    timestamp_days: float,
) -> None:
    r"""Make keys and a repository in the new folder DIR.

    Move the root keys (DIR/keys/root-*.pem) to a place without network afterwards: publishing does not need
    them.

    \b
    Example:
      holdfast ota init fleet --timestamp-days 14
    """
    repository = Repository.create(
        directory,
        root_keys=root_keys,
        root_threshold=root_threshold,
        expiry=Expiry(root_days, targets_days, snapshot_days, timestamp_days),
        progress=output.step,
    )
    output.done(
        f"{directory} is ready. Give robots {repository.pinned_root} as /etc/holdfast/ota/root.json, "
        f"and move "
        f"{repository.keys.directory}/root-*.pem to a place without network.",
        {
            "directory": str(directory),
            "root": str(repository.pinned_root),
            "keys": str(repository.keys.directory),
        },
    )


@ota.group()
def publish() -> None:
    """Sign a new version of something."""


_dir_option = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=_DEFAULT_DIRECTORY,
    show_default=True,
    envvar="HOLDFAST_OTA_DIR",
    show_envvar=True,
    help="Folder of the repository.",
)


@publish.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_dir_option
@click.option("--name", help="Name of the controller; that of the file unless given.")
@click.option("--version", help="Version (3, 1.4.0); the one after the newest unless given.")
@click.option("--rollout", type=int, help="Share of the robots in percent that take it.")
@click.option(
    "--mirror", "mirror_to", help="Mirror to this folder or nats:// address, now and after later publishes."
)
@_command
def controller(
    output: Output,
    file: Path,
    directory: Path,
    name: str | None,
    version: str | None,
    rollout: int | None,
    mirror_to: str | None,
) -> None:
    r"""Sign FILE (.wat or .wasm) as a new version of a controller, and mirror it if a mirror is known.

    \b
    Example:
      holdfast ota publish controller sine.wat --dir fleet --name motion --version 1.4.0
    """
    data = read_controller(file)
    repository = Repository(directory, progress=output.step)
    published = repository.publish(
        Kind.CONTROLLER, name or file.stem, data, version=version, rollout_percent=rollout
    )
    result: dict[str, Any] = _as_json(published)
    sentence = f"{published.target} is signed ({published.target.path})."
    place = mirror_to or repository.mirror
    if place:
        try:
            mirrored = _mirror(output, repository, place, remember=mirror_to is not None)
        except PublishError as error:
            raise PublishError(
                f"{published.target} is signed, but not mirrored: {error}. Then run holdfast ota mirror "
                f"{directory}"
            ) from error
        result["mirror"] = asdict(mirrored)
        sentence += f" {mirrored.to} has it."
    output.done(sentence, result)


@ota.command()
@_directory
@_command
def refresh(output: Output, directory: Path) -> None:
    r"""Sign timestamp and snapshot of DIR again, and other roles of which two thirds of their life are over.

    Run it at least as often as timestamps last; a robot refuses a repository whose signatures have ended.
    Mirrors too, if a mirror is remembered.

    \b
    Example:
      holdfast ota refresh fleet
    """
    repository = Repository(directory, progress=output.step)
    warnings = repository.refresh()
    for sentence in warnings:
        output.warn(sentence)
    result: dict[str, Any] = {"directory": str(directory), "warnings": warnings}
    if repository.mirror:
        result["mirror"] = asdict(_mirror(output, repository, repository.mirror, remember=False))
    output.done(f"{directory} is signed again.", result)


@ota.command("mirror")
@_directory
@click.option("--to", help="A folder or a nats:// address; the remembered one unless given.")
@_command
def mirror_command(output: Output, directory: Path, to: str | None) -> None:
    r"""Copy the published part of DIR to a folder or to the fleet's object store, and remember the place.

    \b
    Example:
      holdfast ota mirror fleet --to nats://user:password@127.0.0.1:4222
    """
    repository = Repository(directory, progress=output.step)
    place = to or repository.mirror
    if place is None:
        raise PublishError(f"{directory} has no mirror yet: name a folder or a nats:// address with --to")
    mirrored = _mirror(output, repository, place, remember=to is not None)
    output.done(
        f"{mirrored.to} has all {mirrored.files} files of {directory} ({mirrored.written} of them are new).",
        asdict(mirrored),
    )


@ota.command()
@_directory
@_command
def status(output: Output, directory: Path) -> None:
    r"""List what DIR publishes, and when its signatures end.

    \b
    Example:
      holdfast ota status fleet --json
    """
    repository = Repository(directory)
    targets, roles = repository.published_targets(), repository.roles()
    place = without_password(repository.mirror) if repository.mirror else None
    if output.as_json:
        listed = [{**asdict(role), "expires": role.expires.isoformat()} for role in roles]
        output.done("", {"targets": [_as_json(item) for item in targets], "roles": listed, "mirror": place})
        return
    table = Table("kind", "name", "version", "bytes", "roll-out", "sha256", title=str(directory))
    for item in targets:
        share = item.custom.get("rollout", {}).get("percent", 100)
        target = item.target
        table.add_row(
            target.kind_word,
            target.name,
            str(target.version),
            str(item.length),
            f"{share} %",
            item.sha256[:16],
        )
    output.table(table)
    table = Table("role", "version", "signed until", "")
    for role in roles:
        mend = "ended: run holdfast ota refresh" if role.expired else ""
        table.add_row(role.role, str(role.version), f"{role.expires:%Y-%m-%d %H:%M} UTC", mend)
    output.table(table)
    output.done(f"mirror: {place or 'none'}", {})


def _mirror(output: Output, repository: Repository, to: str, *, remember: bool) -> Mirrored:
    """Mirror with a progress bar; the place is remembered once that has worked."""
    with output.progress() as bar:
        task = bar.add_task(f"mirror to {without_password(to)}", total=None)

        def show(number: int, total: int, _path: str) -> None:
            bar.update(task, completed=number, total=total)

        mirrored = asyncio.run(mirror(repository, to, progress=show))
    if remember:
        repository.remember_mirror(to if "://" in to else str(Path(to).resolve()))
    return mirrored


def _as_json(item: Published) -> dict[str, Any]:
    target = item.target
    return {
        "kind": target.kind_word,
        "name": target.name,
        "version": str(target.version),
        "path": target.path,
        "length": item.length,
        "sha256": item.sha256,
        "custom": item.custom,
    }
