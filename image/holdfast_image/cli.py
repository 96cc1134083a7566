"""`holdfast image`: the appliance image."""

from __future__ import annotations

import json
from pathlib import Path

import click

from holdfast_image.build import VARIANTS, Image, build_image, repository_root
from holdfast_image.command import board_option, fail, json_option, mirror_option, packages_option
from holdfast_image.errors import ImageError
from holdfast_image.flash_cli import flash_command, list_command
from holdfast_image.lock_cli import lock_command
from holdfast_image.mirror import named_mirror
from holdfast_image.owner_packages import read_owner_packages
from holdfast_image.package_lock import PackageLock
from holdfast_image.progress import Steps
from holdfast_image.sign_cli import key_command, sign_command
from holdfast_image.verify_cli import verify_command


@click.group()
def image() -> None:
    """Build the appliance image, compare builds of it and put it on a drive."""


image.add_command(flash_command)
image.add_command(key_command)
image.add_command(list_command)
image.add_command(lock_command)
image.add_command(sign_command)
image.add_command(verify_command)


@image.command()
@board_option
@click.option("--variant", type=click.Choice(VARIANTS), default="bench", show_default=True)
@mirror_option
@click.option(
    "--locked/--unlocked",
    "lock_required",
    default=None,
    help="Fail if a package is not the one that image/locks names, or only warn; default: fail for a release.",
)
@click.option(
    "--release", metavar="VERSION", help="Version of the image; default: the one of pyproject.toml."
)
@click.option(
    "--ollama", "with_ollama", is_flag=True, help="With Ollama, so that language models run on the robot."
)
@packages_option
@json_option
def build(
    board: str,
    variant: str,
    mirror: str | None,
    lock_required: bool | None,
    release: str | None,
    with_ollama: bool,
    packages_file: Path | None,
    as_json: bool,
) -> None:
    """Build the image, or find it in the cache if nothing changed.

    Exit codes: 0 built or found, 1 failed, 2 wrong option or place.

    Example: holdfast image build --variant release
    """
    steps = Steps()
    differences: list[str] = []
    required = variant == "release" if lock_required is None else lock_required

    def accept(built: Image) -> None:
        differences.extend(lock.differences(built.packages(), built.builder.packages()))
        lock.record(differences)
        if required:
            lock.require(differences)
        elif differences:
            steps.say(
                f"warning: {len(differences)} packages are not those of the lock; {lock.report} lists them"
            )

    try:
        chosen = named_mirror(mirror) if mirror is not None else None
        owner = read_owner_packages(packages_file) if packages_file is not None else None
        lock = PackageLock(repository_root(), board, variant, owner)
        built = build_image(
            lock.repository,
            board,
            variant,
            chosen,
            release,
            steps,
            accept,
            with_ollama=with_ollama,
            owner=owner,
        )
    except ImageError as error:
        fail("build", error, as_json=as_json)
    if as_json:
        result = {
            "ok": True,
            "image": str(built.directory),
            "key": built.key,
            "cached": built.cached,
            "lock_differences": differences,
            "seconds": steps.seconds,
        }
        click.echo(json.dumps(result))
    else:
        click.echo(f"build/image/{built.name}")
