"""What a robot installs of an image: a folder with one slot's partitions, the unified kernel image and a list of them.

    update.json                      version, board, and the SHA-256 of each file below
    holdfast_VERSION.root.UUID.raw   the root file system
    holdfast_VERSION.verity.UUID.raw its hash tree
    holdfast_VERSION.efi             the unified kernel image, with the root hash in its command line

The ids of both partitions are the halves of the root hash: by them the initrd finds the slot that belongs to a kernel.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from holdfast_image.errors import BuildError
from holdfast_image.guest.install import LIST

FOLDER = "update"


def stage_update(output: Path, board: str, version: str) -> None:
    """Move what mkosi has split off its image in `output` into a folder that can be installed.

    Raises:
        BuildError: a partition is missing.
    """
    folder = output / FOLDER
    folder.mkdir()
    os.link(output / "image.efi", folder / f"holdfast_{version}.efi")
    for kind in ("root", "verity"):
        found = list(output.glob(f"image.{kind}.*.raw"))
        if len(found) != 1:
            raise BuildError(f"expected one partition image.{kind}.*.raw of mkosi, found {len(found)}")
        found[0].rename(folder / f"holdfast_{version}{found[0].name.removeprefix('image')}")
    write_list(folder, board, version)


def write_list(folder: Path, board: str, version: str) -> None:
    """Write the list of what is in the folder, in place of one that is there."""
    listed = folder / LIST
    listed.unlink(missing_ok=True)
    files = {file.name: sha256_of(file) for file in sorted(folder.iterdir())}
    listed.write_text(json.dumps({"version": version, "board": board, "sha256": files}, indent=1) + "\n")


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
