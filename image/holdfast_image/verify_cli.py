"""`holdfast image verify`: whether two builds are the same, and if not, where they begin to differ."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from holdfast_image.command import fail
from holdfast_image.comparison import compare_images
from holdfast_image.errors import ImageError
from holdfast_image.progress import Steps

_PLACE = click.Path(exists=True, path_type=Path)


@click.command("verify")
@click.argument("a", type=_PLACE)
@click.argument("b", type=_PLACE)
@click.option(
    "--json", "as_json", is_flag=True, help="Print artefacts and differences as JSON on standard output."
)
def verify_command(a: Path, b: Path, as_json: bool) -> None:
    """Compare two builds: folders of `holdfast image build`, or two raw disk images.

    Of what differs, the first is named: artefact, partition, file inside it and what about the file. Reading the files
    of a disk image takes as much space in TMPDIR as they have.

    Exit codes: 0 equal, 1 different or failed, 2 wrong option or place.

    Example: holdfast image verify build/image/qemu-x86-64-release /media/other/qemu-x86-64-release
    """
    steps = Steps()
    try:
        found = compare_images(a, b, steps)
    except ImageError as error:
        fail("verify", error, as_json=as_json)
    if as_json:
        click.echo(json.dumps(found.as_json()))
    else:
        width = max(len(artefact.name) for artefact in found.artefacts)
        for artefact in found.artefacts:
            told = artefact.sha256[0] if artefact.equal else "different"
            click.echo(f"{artefact.name:{width}} {told}")
        if found.differences:
            more = len(found.differences) - 1
            click.echo(f"first difference: {found.differences[0]}")
            if more:
                click.echo(f"and {more} more; --json lists them")
    sys.exit(0 if found.equal else 1)
