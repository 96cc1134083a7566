"""`holdfast image lock`: what is built now is what shall be built from now on."""

from __future__ import annotations

import json
from pathlib import Path

import click

from holdfast_image.build import VARIANTS, build_image, repository_root
from holdfast_image.command import board_option, fail, json_option, mirror_option, packages_option
from holdfast_image.errors import ImageError
from holdfast_image.mirror import named_mirror
from holdfast_image.owner_packages import read_owner_packages
from holdfast_image.package_lock import PackageLock
from holdfast_image.progress import Steps


@click.command("lock")
@board_option
@mirror_option
@packages_option
@json_option
def lock_command(board: str, mirror: str | None, packages_file: Path | None, as_json: bool) -> None:
    """Build both variants and write their packages, and the builder tree's, into image/locks.

    With --packages the locks of the images with them are written, beside FILE.

    Packages are as new as the mirror when nothing of it is in the cache: docs/image.md tells how to take newer ones.

    Exit codes: 0 written, 1 failed, 2 wrong option or place.

    Example: holdfast image lock
    """
    steps = Steps()
    changed: list[str] = []
    try:
        chosen = named_mirror(mirror) if mirror is not None else None
        repository = repository_root()
        owner = read_owner_packages(packages_file) if packages_file is not None else None
        for variant in VARIANTS:
            built = build_image(repository, board, variant, chosen, steps=steps, owner=owner)
            lock = PackageLock(repository, board, variant, owner)
            image, builder = built.packages(), built.builder.packages()
            changed += [f"{variant} {line}" for line in lock.differences(image, builder)]
            lock.renew(image, builder)
    except ImageError as error:
        fail("lock", error, as_json=as_json)
    if as_json:
        click.echo(json.dumps({"ok": True, "changed": changed}))
    else:
        click.echo(
            "".join(f"{line}\n" for line in changed) + f"{len(changed)} changes in {lock.image_file.parent}"
        )
