"""`holdfast os`: the versions of the image on this robot, and its factory reset."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import click

from holdfast.command import console, fail, json_option, print_json
from holdfast.errors import ConfigError, HoldfastError, RefusedError
from holdfast_image.errors import ImageError
from holdfast_image.guest import factory_reset
from holdfast_image.guest.boot_loader import boot_loader, system_partition
from holdfast_image.guest.fetch import fetched
from holdfast_image.guest.install import LIST, Update, install, require_installable
from holdfast_image.guest.systemd_boot import secure_boot
from holdfast_image.guest.versions import robot_memory
from holdfast_image.progress import Steps

_BOARD = Path("/usr/lib/holdfast/board")
# What the initrd opens an encrypted data partition as.
_OPENED = Path("/dev/mapper/holdfast-data")
_AT_THE_NEXT_REBOOT = (
    f"At the next reboot this robot loses {factory_reset.LOST}. {factory_reset.APPLIED_AGAIN} Until then "
    "`holdfast os factory-reset --cancel` takes that back."
)


@contextmanager
def _refusals(as_json: bool) -> Iterator[None]:
    """End the program with one sentence if the body is refused or fails."""
    try:
        yield
    except HoldfastError as error:
        fail(error, as_json=as_json)
    except (ImageError, OSError) as error:
        fail(RefusedError(str(error)), as_json=as_json)


@click.group("os")
def operating_system() -> None:
    """Look at the versions of the image on this robot, install one, mark one good or bad; reset the robot.

    All of it as root, on the robot.
    """


@operating_system.command()
@json_option
def status(as_json: bool) -> None:
    """Show which version runs, which others can, and how many tries each has left.

    Example: holdfast os status
    """
    with _refusals(as_json):
        memory, loader = robot_memory(), boot_loader()
        versions: list[dict[str, Any]] = [
            {"version": found.version, "running": found.running, "tries_left": found.tries_left}
            for found in loader.installed()
        ]
        damaged = loader.damaged()
        line = factory_reset.reset_line(system_partition())
        told = {
            "versions": versions,
            "bad": memory.bad(),
            "damaged": damaged,
            "boot_loader_counts": memory.boot_loader_counts(),
            "factory_reset": factory_reset.is_requested(),
            "encrypted": _OPENED.exists(),
            "reset_line": None if line is None else asdict(line),
        }
    if as_json:
        print_json(told)
        return
    for found in versions:
        tries = "good" if found["tries_left"] is None else f"{found['tries_left']} tries left"
        console.print(f"{found['version']:12} {tries}{', runs' if found['running'] else ''}")
    for version, why in memory.bad().items():
        console.print(f"{version:12} bad: {why}", markup=False)
    for version in damaged:
        console.print(f"{version:12} damaged: its slot is not what was built; install it again")
    if not told["boot_loader_counts"]:
        console.print("the boot loader has not been seen to count: nothing can be installed")
    if told["encrypted"]:
        console.print("the data partition is encrypted; this robot's TPM opens it")
    if line is not None:
        console.print(_told_of(line), soft_wrap=True)
    if told["factory_reset"]:
        console.print(_AT_THE_NEXT_REBOOT, soft_wrap=True)


def _told_of(line: factory_reset.ResetLine) -> str:
    if line.seen_low:
        return f"who holds {line.line} high while this robot starts resets it"
    return f"{line.line} does not reset this robot yet: no start has found it low since it was last held"


@operating_system.command("install")
@click.argument("source")
@click.option("--sha256", metavar="HEX", help="SHA-256 of the version's update.json; an address needs it.")
@json_option
def install_command(source: str, sha256: str | None, as_json: bool) -> None:
    """Install the version in SOURCE (`update` of a build) into the other slot; the next reboot tries it.

    SOURCE is a folder, or the address of one on a web server. What is fetched is held against --sha256, as
    `sha256sum update/update.json` tells it beside the build.

    Example: holdfast os install /var/tmp/update
    """
    with _refusals(as_json):
        is_address = source.startswith(("http://", "https://"))
        if is_address and sha256 is None:
            raise ConfigError(
                f"whoever answers at {source} could give this robot another system; add --sha256, as "
                f"`sha256sum update/{LIST}` tells it beside the build"
            )
        loader, memory, board, steps = boot_loader(), robot_memory(), _BOARD.read_text().strip(), Steps()
        place: AbstractContextManager[Path] = nullcontext(Path(source))
        if is_address and sha256 is not None:
            accept = partial(require_installable, loader=loader, memory=memory, board=board)
            place = fetched(source, sha256, accept, steps)
        with place as folder:
            if sha256 is not None:
                Update.read(folder).require_list(sha256)
            version = install(folder, loader, memory, board, steps=steps)
    if as_json:
        print_json({"version": version})
    else:
        console.print(f"{version} is installed; reboot to try it")


@operating_system.command()
@json_option
def good(as_json: bool) -> None:
    """Take the running version for good without waiting until it has shown that it is.

    Example: holdfast os good
    """
    with _refusals(as_json):
        boot_loader().mark_good()
    if as_json:
        print_json({})


@operating_system.command()
@click.argument("version")
@json_option
def bad(version: str, as_json: bool) -> None:
    """Never install VERSION again, and boot another one if it is installed.

    Example: holdfast os bad 1.2.0
    """
    with _refusals(as_json):
        loader = boot_loader()
        others = [found for found in loader.installed() if found.version != version and not found.exhausted]
        if not others:
            raise RefusedError(f"there is no other version to boot than {version}; install one first")
        loader.mark_bad(version)
        robot_memory().remember_bad(version, "somebody marked it so")
    if as_json:
        print_json({})


@operating_system.command("factory-reset")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--cancel", is_flag=True, help="Take it back before the reboot.")
@json_option
def factory_reset_command(yes: bool, cancel: bool, as_json: bool) -> None:
    """Make this robot at the next reboot what it was after its first one; the versions of the image stay.

    What its card was flashed with is applied again: flash it anew before you hand the robot on.

    Example: holdfast os factory-reset
    """
    with _refusals(as_json):
        if cancel:
            factory_reset.cancel()
        else:
            factory_reset.require_way_in(secure_boot())
            asyncio.run(factory_reset.require_standstill())
            if not yes:
                _confirm_reset()
                asyncio.run(factory_reset.require_standstill())
            factory_reset.request()
    if as_json:
        print_json({"factory_reset": not cancel})
    else:
        console.print("The next reboot loses nothing." if cancel else _AT_THE_NEXT_REBOOT, soft_wrap=True)


def _confirm_reset() -> None:
    try:
        sure = click.confirm(
            f"This robot will lose {factory_reset.LOST}. {factory_reset.APPLIED_AGAIN} Reset it at the next reboot?",
            err=True,
        )
    except click.Abort:
        sure = False
    if not sure:
        raise RefusedError("not confirmed, so nothing will be lost; --yes answers for scripts")
