"""The kernel of a board that Debian's own kernels do not serve (docs/decisions/0079).

It is Debian's source and configuration, with the board's changes to the latter, image/kernels/BOARD.config. Built in
the builder tree and kept in the cache.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast_image.builder import Builder
from holdfast_image.cache import content_hash, files_below, made_whole, require_space
from holdfast_image.namespace import Bind, run_in_builder
from holdfast_image.packages import Package, of_same_version, only_one
from holdfast_image.runtime import Snapshot

KERNELS = "image/kernels"
LICENCE = "GPL-2.0-only WITH Linux-syscall-note"
NEEDED_BYTES = 8 << 30
_CONFIGURATION = re.compile(r"linux-config-(?P<version>\d.*)")


@dataclass(frozen=True)
class BoardKernel:
    """A kernel and its modules."""

    tree: Path
    """They lie below usr/lib/modules/RELEASE."""
    source: Package
    """What it was compiled from."""
    licence_text: str


def kernel_source(builder: Sequence[Package]) -> tuple[str, Package]:
    """Return the version, as names of packages have it, and the source that a builder tree makes kernels from.

    Raises:
        BuildError: it has no configuration or several, or the source of another version.
    """
    match, configuration = only_one(builder, _CONFIGURATION, "one linux-config-VERSION")
    return match["version"], of_same_version(builder, f"linux-source-{match['version']}", configuration)


def board_kernel(cache: Path, builder: Builder, snapshot: Snapshot, board: str, log: Path) -> BoardKernel:
    """Return the kernel of a board, built first if it is not in the cache.

    Raises:
        HostError: there is no space for it.
        BuildError: it cannot be built, or Linux does not take a line of its configuration.
    """
    version, source = kernel_source(builder.packages())
    key = content_hash(
        snapshot.root, files_below(snapshot.root, (KERNELS,)), builder.key, board, source.version
    )
    target = cache / f"kernel-{key}"
    if not target.is_dir():
        require_space(cache, NEEDED_BYTES, f"building the kernel of {board}")
        with made_whole(target) as partial:
            build = partial / "build"
            build.mkdir()
            run_in_builder(
                builder.tree,
                ["/hf/kernels/build.sh", f"/hf/kernels/{board}.config", version],
                [Bind(snapshot.root / KERNELS, "/hf/kernels"), Bind(build, "/hf/build", writable=True)],
                log=log,
                what=f"building the kernel of {board} from {source.name} {source.version}",
                workdir="/hf/build",
            )
            for name in ("tree", "copyright"):
                (build / name).rename(partial / name)
            shutil.rmtree(build)
    return BoardKernel(target / "tree", source, (target / "copyright").read_text())


def assemble(kernel: BoardKernel, tree: Path) -> None:
    """Lay kernel and modules out below `tree`."""
    shutil.copytree(kernel.tree, tree, symlinks=True, dirs_exist_ok=True)
