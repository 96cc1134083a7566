"""`holdfast image`: the appliance image."""

from __future__ import annotations

import json

import click

from holdfast_image.build import BOARDS, VARIANTS, build_image, repository_root
from holdfast_image.command import fail
from holdfast_image.errors import ImageError
from holdfast_image.flash_cli import flash_command, list_command
from holdfast_image.mirror import named_mirror
from holdfast_image.progress import Steps
from holdfast_image.verify_cli import verify_command


@click.group()
def image() -> None:
    """Build the appliance image, compare builds of it and put it on a drive."""


image.add_command(flash_command)
image.add_command(list_command)
image.add_command(verify_command)


@image.command()
@click.option("--board", type=click.Choice(BOARDS), default=BOARDS[0], show_default=True)
@click.option("--variant", type=click.Choice(VARIANTS), default="bench", show_default=True)
@click.option(
    "--mirror",
    metavar="URL",
    envvar="HOLDFAST_MIRROR",
    help="Debian archive; default: the one this machine's apt uses.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
def build(board: str, variant: str, mirror: str | None, as_json: bool) -> None:
    """Build the image, or find it in the cache if nothing changed.

    Exit codes: 0 built or found, 1 failed, 2 wrong option or place.

    Example: holdfast image build --variant release
    """
    steps = Steps()
    try:
        chosen = named_mirror(mirror) if mirror is not None else None
        built = build_image(repository_root(), board, variant, chosen, steps)
    except ImageError as error:
        fail("build", error, as_json=as_json)
    if as_json:
        result = {
            "ok": True,
            "image": str(built.directory),
            "key": built.key,
            "cached": built.cached,
            "seconds": steps.seconds,
        }
        click.echo(json.dumps(result))
    else:
        click.echo(f"build/image/{board}-{variant}")
