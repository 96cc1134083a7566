"""Runs mkosi in the builder tree: from the staged files to a disk image and what it consists of."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from holdfast_image.boards import Board
from holdfast_image.builder import Builder
from holdfast_image.namespace import Bind, run_in_builder
from holdfast_image.ollama import PROFILE as OLLAMA
from holdfast_image.runtime import Snapshot

# The bench plugs the disk in as a memory module, which comes in blocks of 128 MiB. Both slots and some data fit.
DISK_BYTES = 28 * (128 << 20)
# File systems and partitions get their ids from a version's own seed: two versions share a disk.
_SEEDS = uuid.UUID("6b1bb1a5-1a66-4d5e-a1f4-6f0b1d6cf0a1")


def run_mkosi(
    builder: Builder,
    snapshot: Snapshot,
    work: Path,
    log: Path,
    board: Board,
    variant: str,
    version: str,
    cached_tree: str,
    added: Sequence[str],
) -> None:
    """Build the image of `version` from the files staged in `work` into its folder `output`.

    `cached_tree` names the folder of `work`/cache that its packages are kept in, `added` packages besides those that
    the definition names.

    Raises:
        BuildError: mkosi failed.
    """
    more = [name for name in ("modules", OLLAMA) if (work / name).is_dir()]
    trees = ["runtime", *more]
    profiles = [*board.profiles, *(["bench"] if variant == "bench" else [])]
    profiles += [OLLAMA] if OLLAMA in more else []
    run_in_builder(
        builder.tree,
        [
            *("mkosi", "--directory=/hf/source/image", "--workspace-directory=/hf/mkosi/workspace"),
            *("--output-directory=/hf/mkosi/output", f"--cache-directory=/hf/mkosi/cache/{cached_tree}"),
            *("--package-cache-directory=/hf/mkosi/packages", "--sandbox-tree=/hf/mkosi/apt"),
            *(f"--extra-tree=/hf/mkosi/{tree}" for tree in trees),
            f"--image-version={version}",
            f"--seed={uuid.uuid5(_SEEDS, version)}",
            *(f"--profile={profile}" for profile in profiles),
            *(f"--package={name}" for name in added),
            *("--force", "build"),
        ],
        [Bind(snapshot.root, "/hf/source"), Bind(work, "/hf/mkosi", writable=True)],
        log=log,
        what="building the image",
        emulator=board.architecture.emulator,
    )
    run_in_builder(
        builder.tree,
        [
            board.architecture.tool("objcopy"),
            "-O",
            "binary",
            "--only-section=.cmdline",
            "/hf/output/image.efi",
            "/hf/output/image.cmdline",
        ],
        [Bind(work / "output", "/hf/output", writable=True)],
        log=log,
        what="reading the kernel command line of the image",
    )
    _enlarge(builder, work / "output", log)


def _enlarge(builder: Builder, output: Path, log: Path) -> None:
    """Leave room behind slot A, as on the drive of a robot, and move the copy of the partition table to the end."""
    os.truncate(output / "image.raw", DISK_BYTES)
    run_in_builder(
        builder.tree,
        ["sfdisk", "--relocate", "gpt-bak-std", "/hf/output/image.raw"],
        [Bind(output, "/hf/output", writable=True)],
        log=log,
        what="enlarging the disk image",
    )
