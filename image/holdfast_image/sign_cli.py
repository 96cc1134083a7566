"""`holdfast image key` and `sign`: a copy of a build that firmware with Secure Boot starts."""

from __future__ import annotations

import json
from pathlib import Path

import click

from holdfast_image.command import fail, json_option
from holdfast_image.errors import ImageError
from holdfast_image.progress import Steps
from holdfast_image.signing import Owner, sign_image

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("key")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", default="robot owner", show_default=True, help="Name in the certificate.")
@json_option
def key_command(folder: Path, name: str, as_json: bool) -> None:
    """Make a key for Secure Boot and its certificate in FOLDER: owner.key and owner.pem. Keep both off the robots.

    Exit codes: 0 made, 1 failed, 2 wrong option or place.

    Example: holdfast image key ~/keys --name "ACME Robotics"
    """
    try:
        owner = Owner.make(folder, name)
    except ImageError as error:
        fail("key", error, as_json=as_json)
    if as_json:
        click.echo(json.dumps({"ok": True, "key": str(owner.key), "certificate": str(owner.certificate)}))
    else:
        click.echo(
            f"{owner.key} and {owner.certificate}: whoever has the first can make what your robots start"
        )


@click.command("sign")
@click.argument("build", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--key", type=_FILE, required=True, help="Private key, PEM.")
@click.option("--certificate", type=_FILE, required=True, help="Its certificate, PEM.")
@json_option
def sign_command(build: Path, target: Path, key: Path, certificate: Path, as_json: bool) -> None:
    """Copy the folder BUILD to TARGET and sign what firmware starts: boot loader, unified kernel image, update.

    Exit codes: 0 signed, 1 failed, 2 wrong option or place.

    Example: holdfast image sign build/image/qemu-x86-64-release signed --key owner.key --certificate owner.pem
    """
    steps = Steps()
    try:
        sign_image(build, target, Owner(key, certificate), steps)
    except ImageError as error:
        fail("sign", error, as_json=as_json)
    if as_json:
        click.echo(json.dumps({"ok": True, "image": str(target), "seconds": steps.seconds}))
    else:
        click.echo(str(target))
