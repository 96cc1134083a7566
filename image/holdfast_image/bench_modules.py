"""Kernel modules that the bench needs and Debian's kernel lacks: gpio-sim (docs/decisions/0009).

Built in the builder tree from Debian's kernel source, against the headers of the same version, and only good for the
kernel of exactly that version: `require_kernel` compares it with what mkosi has put into the image.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast_image.builder import Builder
from holdfast_image.cache import content_hash, files_below, made_whole
from holdfast_image.errors import BuildError
from holdfast_image.namespace import Bind, run_in_builder
from holdfast_image.packages import Package, of_same_version, only_one
from holdfast_image.runtime import Snapshot

MODULES = "image/modules"
_SOURCE = "linux-source-6.12"
_HEADERS = re.compile(r"linux-headers-(?P<release>\d.*-rt-\w+)")
_IMAGE = re.compile(r"linux-image-(?P<release>\d.*-rt-\w+)")


@dataclass(frozen=True)
class Kernel:
    """A kernel as Debian names it."""

    release: str
    """What `uname -r` says, and the folder of its modules."""
    version: str
    """The version of its package: one release can have several, with other symbols."""

    def __str__(self) -> str:
        return f"{self.release} ({self.version})"


def kernel_of_headers(builder: Sequence[Package]) -> Kernel:
    """Return the kernel that a builder tree with these packages builds modules for.

    Raises:
        BuildError: it has no headers, or the kernel's source in another version.
    """
    match, headers = only_one(builder, _HEADERS, "the headers of one RT kernel")
    of_same_version(builder, _SOURCE, headers)
    return Kernel(match["release"], headers.version)


def require_kernel(built_for: Kernel, manifest: Path, remedy: str) -> None:
    """Refuse an image whose kernel is another one than its modules were built for.

    Args:
        built_for: the kernel of the builder tree's headers.
        manifest: what mkosi says it has installed.
        remedy: what the user does about a difference.

    Raises:
        BuildError: it is another one, or not the only one.
    """
    found = [
        Kernel(match["release"], package["version"])
        for package in json.loads(manifest.read_text())["packages"]
        if (match := _IMAGE.fullmatch(package["name"]))
    ]
    if found != [built_for]:
        kernels = ", ".join(map(str, found)) or "none"
        raise BuildError(f"the image's kernel is {kernels}, but gpio-sim was built for {built_for}; {remedy}")


def gpio_sim(cache: Path, builder: Builder, snapshot: Snapshot, log: Path) -> tuple[Kernel, Path]:
    """Return gpio-sim.ko, built first if it is not in the cache, and the kernel it is for.

    Raises:
        BuildError: it cannot be built.
    """
    kernel = kernel_of_headers(builder.packages())
    sources = files_below(snapshot.root, (MODULES,))
    key = content_hash(snapshot.root, sources, builder.key, kernel.release, kernel.version)
    target = cache / f"gpio-sim-{key}"
    if not target.is_dir():
        with made_whole(target) as partial:
            build = partial / "build"
            build.mkdir()
            run_in_builder(
                builder.tree,
                ["/hf/modules/gpio-sim/build.sh", kernel.release],
                [Bind(snapshot.root / MODULES, "/hf/modules"), Bind(build, "/hf/build", writable=True)],
                log=log,
                what=f"building gpio-sim for {kernel}",
                workdir="/hf/build",
            )
            shutil.copyfile(build / "gpio-sim.ko", partial / "gpio-sim.ko")
            shutil.rmtree(build)
    return kernel, target / "gpio-sim.ko"


def assemble(kernel: Kernel, module: Path, tree: Path) -> None:
    """Lay the module out below `tree`, dated now: mkosi runs depmod only for what is newer than the last run."""
    updates = tree / "usr/lib/modules" / kernel.release / "updates"
    updates.mkdir(parents=True)
    shutil.copyfile(module, updates / module.name)
