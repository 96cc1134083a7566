"""Builds the image, or finds it in the cache: the key is a hash over everything that goes into it.

`images/<key>/` in the cache holds image.raw (disk), image.efi (unified kernel image), image.vmlinuz,
image.initrd and image.cmdline (for starts without firmware), image.manifest, what holdfast_image.contents writes,
update/ (what a robot installs: holdfast_image.payload) and image.json. build/image/<board>-<variant> points there, with
-ollama and the name of an owner's packages behind it. All of it but image.json, which tells of the build, is the same
whenever and wherever it is built from the same sources and packages.
"""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from holdfast_image import bench_modules, board_kernel, tiny_model
from holdfast_image.boards import AMD64, BOARDS, Board
from holdfast_image.builder import Builder, ensure_builder
from holdfast_image.cache import (
    cache_directory,
    content_hash,
    forget_unused,
    in_use,
    locked,
    require_space,
)
from holdfast_image.contents import BILL_OF_MATERIALS, LICENCES, PACKAGES, write_contents
from holdfast_image.errors import BuildError, UsageError
from holdfast_image.guest.install import VERSION
from holdfast_image.mirror import Mirror, host_mirror, write_apt_configuration
from holdfast_image.mkosi import run_mkosi
from holdfast_image.namespace import require_root
from holdfast_image.ollama import PROFILE, ollama
from holdfast_image.owner_packages import OwnerPackages
from holdfast_image.packages import ARCHIVES, Package, read_listing
from holdfast_image.payload import FOLDER as UPDATE
from holdfast_image.payload import stage_update
from holdfast_image.progress import Steps
from holdfast_image.runtime import RuntimeStaging, Snapshot, source_key

VARIANTS = ("bench", "release")
NEEDED_BYTES = 6 << 30
_KEPT_IMAGES = 6
_PARTS = ("image.raw", "image.efi", "image.vmlinuz", "image.initrd", "image.manifest")
_CONTENTS = (PACKAGES, LICENCES, BILL_OF_MATERIALS)
# Raise it when this package makes something else from the same sources: images of before are not taken from the cache.
_RECIPE = "4"


@dataclass(frozen=True)
class Image:
    """A finished image."""

    directory: Path
    key: str
    board: str
    variant: str
    builder: Builder
    cached: bool
    name: str
    """Below build/image."""

    @property
    def disk(self) -> Path:
        """The raw disk image; never written to, machines run on overlays of it."""
        return self.directory / "image.raw"

    @property
    def command_line(self) -> str:
        """The kernel command line of its unified kernel image."""
        return (self.directory / "image.cmdline").read_text().strip("\0\n ")

    def packages(self) -> list[Package]:
        """Return the Debian packages in it, those of its initrd included."""
        return read_listing(self.directory / PACKAGES)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep it from being removed from the cache while the body runs."""
        with in_use(self.directory / "image.json"):
            yield


def repository_root(start: Path | None = None) -> Path:
    """Return the repository that `start` (the current folder) lies in.

    Raises:
        UsageError: there is none.
    """
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / "image/mkosi.conf").is_file():
            return folder
    raise UsageError(f"{here} is in no checkout of Holdfast; the image is built from one, change there first")


def release_version(repository: Path) -> str:
    """Return the version of the checkout."""
    with (repository / "pyproject.toml").open("rb") as stream:
        return str(tomllib.load(stream)["project"]["version"])


def image_name(board: str, variant: str, *, with_ollama: bool, owner: OwnerPackages | None) -> str:
    """Return what an image is called below build/image."""
    return "-".join((board, variant, *((PROFILE,) if with_ollama else ()), *((owner.name,) if owner else ())))


def build_image(
    repository: Path,
    board: str = "qemu-x86-64",
    variant: str = "bench",
    mirror: Mirror | None = None,
    release: str | None = None,
    steps: Steps | None = None,
    accept: Callable[[Image], None] = lambda image: None,
    *,
    with_ollama: bool = False,
    owner: OwnerPackages | None = None,
) -> Image:
    """Return the image of the sources as they are now, built first if no cached one was made from the same.

    Args:
        repository: the checkout.
        board: one of `BOARDS`.
        variant: one of `VARIANTS`.
        mirror: where Debian packages come from; None: where this machine's apt gets them.
        release: the image's version; None: that of pyproject.toml.
        steps: shows what goes on.
        accept: raises an error if the image shall not be published in build/image.
        with_ollama: language models can run on it.
        owner: packages that it has besides.

    Raises:
        UsageError: there is no such board or variant, or the version is malformed.
        HostError, NetworkError, BuildError: see there; nothing half-written is left under a final name.
    """
    if board not in BOARDS:
        raise UsageError(f"there is no board {board!r}; there are {', '.join(BOARDS)}")
    if variant not in VARIANTS:
        raise UsageError(f"there is no variant {variant!r}; there are {', '.join(VARIANTS)}")
    release = release_version(repository) if release is None else release
    if not VERSION.fullmatch(release):
        raise UsageError(
            f"version {release!r}: use two to four numbers with dots between them, such as 1.4.0"
        )
    steps = steps or Steps()
    cache = cache_directory()
    name = image_name(board, variant, with_ollama=with_ollama, owner=owner)
    log = _fresh_log(repository, name)

    def waiting() -> None:
        steps.say("another build is under way; waiting for it to end")

    if mirror is None:
        mirror = host_mirror()
    with steps.step("builder tree"):
        builder = ensure_builder(cache, mirror, BOARDS[board].architecture, log, waiting)

    def place(sources: str) -> tuple[str, Path]:
        # The builder tree's name knows the mirror, and the image must not.
        added = (owner.digest,) if owner else ()
        source = content_hash(Path("/"), [], sources, name, release, _RECIPE, *added)
        return source, cache / "images" / content_hash(Path("/"), [], source, builder.key)

    # What is there needs no turn: somebody else's build takes minutes.
    _, directory = place(source_key(repository))
    cached = directory.is_dir()
    if not cached:
        with locked(cache / "image.lock", waiting):
            snapshot = Snapshot.take(repository, cache / "source")
            source, directory = place(snapshot.key)
            cached = directory.is_dir()
            if not cached:
                require_root("building the image")
                require_space(cache, NEEDED_BYTES, "the image")
                made_of = _Sources(
                    builder, snapshot, source, BOARDS[board], variant, release, with_ollama, owner
                )
                _build(cache, made_of, log, steps, directory)
                forget_unused(directory, "image.json", _KEPT_IMAGES)
    if cached:
        os.utime(directory)
        steps.say(f"unchanged: image {directory.name} is in the cache")
    image = Image(directory, directory.name, board, variant, builder, cached, name)
    accept(image)
    _publish(repository / "build/image", name, directory)
    return image


@dataclass(frozen=True)
class _Sources:
    """What an image is made of."""

    builder: Builder
    snapshot: Snapshot
    key: str
    board: Board
    variant: str
    release: str
    with_ollama: bool
    owner: OwnerPackages | None


def _build(cache: Path, of: _Sources, log: Path, steps: Steps, directory: Path) -> None:
    builder, snapshot, board, variant = of.builder, of.snapshot, of.board, of.variant
    work = cache / "mkosi"
    for name in ("workspace", "output", "runtime", "modules", PROFILE, "wheel", "apt"):
        if (work / name).exists():
            shutil.rmtree(work / name)
    # mkosi keeps the file system with its packages there, and throws one away that has other packages.
    cached_tree = image_name(board.name, variant, with_ollama=False, owner=of.owner)
    installed = work / "cache" / cached_tree
    if of.owner:
        of.owner.forget_others(work / "packages", installed)
    for folder in (work / "workspace", work / "output", installed, work / "packages"):
        folder.mkdir(parents=True, exist_ok=True)
    staging = RuntimeStaging(cache, builder, snapshot, log)
    with steps.step("Python packages"):
        dependencies = staging.dependencies()
        requirements = staging.build_requirements()
    with steps.step("runtime (C++ and Python)"):
        wheel = staging.wheel(dependencies, requirements, work / "wheel")
        staging.assemble(dependencies, wheel, work / "runtime")
    own_kernel = None
    if board.own_kernel:
        with steps.step(f"kernel of {board.name}"):
            own_kernel = board_kernel.board_kernel(cache, builder, snapshot, board.name, log)
            board_kernel.assemble(own_kernel, work / "modules")
    local_models = None
    if of.with_ollama:
        with steps.step("Ollama"):
            local_models = ollama(cache, builder, snapshot, log)
            shutil.copytree(local_models.tree, work / PROFILE, symlinks=True)
            if variant == "bench":
                tiny_model.write(work / PROFILE / tiny_model.PLACE)
    kernel = None
    # The bench pretends to have the contacts of an e-stop only where the kernel's headers are in the builder tree.
    if variant == "bench" and board.architecture is AMD64:
        with steps.step("kernel modules"):
            kernel, module = bench_modules.gpio_sim(cache, builder, snapshot, log)
            bench_modules.assemble(kernel, module, work / "modules")
    with steps.step(f"image {board.name} ({variant})"):
        write_apt_configuration(work / "apt", builder.mirror(), board.archives)
        if of.owner:
            of.owner.write_apt_configuration(work / "apt")
        added = of.owner.names if of.owner else ()
        run_mkosi(builder, snapshot, work, log, board, variant, of.release, installed.name, added)
        if of.owner:
            of.owner.remember(installed)
    output = work / "output"
    missing = [part for part in _PARTS if not (output / part).is_file()]
    if missing:
        raise BuildError(f"mkosi ended well but made no {', '.join(missing)}; see {log}")
    if kernel is not None:
        remedy = (
            f"remove {builder.tree} and {work / 'cache'} and build again, both from the mirror as it is now"
        )
        bench_modules.require_kernel(kernel, output / "image.manifest", remedy)
    with steps.step("bill of materials"):
        definition = snapshot.root / "image/mkosi.conf"
        archives = work / "packages" / ARCHIVES
        named = f"{of.release}+{of.key}"
        write_contents(
            output, builder, own_kernel, local_models, archives, dependencies, named, definition, log
        )
    stage_update(output, board.name, of.release)
    for extra in output.iterdir():
        if extra.name not in {*_PARTS, *_CONTENTS, "image.cmdline", UPDATE}:
            extra.unlink()
    (output / "image.json").write_text(
        json.dumps({"key": directory.name, "board": board.name, "variant": variant, "builder": builder.key})
        + "\n"
    )
    directory.parent.mkdir(exist_ok=True)
    output.rename(directory)


def _fresh_log(repository: Path, name: str) -> Path:
    log = repository / "build/logs" / f"image-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("")
    return log


def _publish(folder: Path, name: str, directory: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / f".{name}.{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(directory)
    link.replace(folder / name)
