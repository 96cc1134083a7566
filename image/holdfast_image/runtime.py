"""The runtime as a tree for the image: locked Python packages, our own built in the builder tree.

In the image /usr/lib/holdfast is a virtual environment (`pyvenv.cfg`) of the distribution's Python 3.13 that
sees no other packages. /usr/bin has links to what people and units call.
"""

from __future__ import annotations

import configparser
import filecmp
import os
import shutil
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from holdfast_image.boards import AMD64
from holdfast_image.builder import Builder
from holdfast_image.cache import content_hash, files_below, made_whole
from holdfast_image.errors import BuildError
from holdfast_image.namespace import Bind, run_in_builder
from holdfast_image.python_packages import PYTHON_VERSION, installed

_SITE = f"usr/lib/holdfast/lib/python{PYTHON_VERSION}/site-packages"
SOURCES = (
    "pyproject.toml",
    "uv.lock",
    "LICENSE",
    "README.md",
    "runtime/holdfast",
    "runtime/control",
    "ota/holdfast_ota",
    # Of the workstation's parts the robot gets what runs on it.
    "image/holdfast_image/__init__.py",
    "image/holdfast_image/errors.py",
    "image/holdfast_image/guest",
    "image/holdfast_image/progress.py",
    "hil_tests/holdfast_bench/__init__.py",
    "hil_tests/holdfast_bench/guest",
)
DEFINITION = (
    "image/kernels",
    "image/mkosi.conf",
    "image/mkosi.extra",
    "image/mkosi.images",
    "image/mkosi.postinst.chroot",
    "image/mkosi.profiles",
    "image/mkosi.repart",
    "image/modules",
    "image/ollama",
)
EXAMPLES = ("examples/robots", "examples/controllers", "hil_tests/controllers")
_COPIED = (*SOURCES, *EXAMPLES, *DEFINITION)


@dataclass(frozen=True)
class Snapshot:
    """A copy of the sources that a build is made from; what is edited meanwhile waits for the next one."""

    root: Path
    key: str

    @classmethod
    def take(cls, repository: Path, target: Path) -> Snapshot:
        """Copy sources and image definition over the last snapshot and hash the copy.

        The compiler goes by the time of a file: it is when a snapshot first had this content. Checkouts share the
        cache, and the file of one may be older than what was compiled of another one's.
        """
        with made_whole(target) as copy:
            for file in files_below(repository, _COPIED):
                place, last = (root / file.relative_to(repository) for root in (copy, target))
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, place, follow_symlinks=False)
                if not place.is_symlink():
                    same = last.is_file() and filecmp.cmp(place, last, shallow=False)
                    changed_ns = last.stat().st_mtime_ns if same else time.time_ns()
                    os.utime(place, ns=(changed_ns, changed_ns))
        return cls(target, source_key(target))


def source_key(root: Path) -> str:
    """Return the hash over sources and image definition of a checkout or of its copy."""
    return content_hash(root, files_below(root, _COPIED))


class RuntimeStaging:
    """Makes the runtime's tree step by step; each step keeps what it made in the cache."""

    def __init__(self, cache: Path, builder: Builder, snapshot: Snapshot, log: Path) -> None:
        self._cache = cache
        self._builder = builder
        self._snapshot = snapshot
        self._log = log

    def dependencies(self) -> Path:
        """Return a folder with every locked dependency installed for the image's Python."""
        platform = self._builder.architecture.wheels
        return self._installed("site", ["--no-default-groups", "--no-emit-project"], platform)

    def build_requirements(self) -> Path:
        """Return a folder with what builds our own package."""
        return self._installed("build-site", ["--only-group", "build"], AMD64.wheels)

    def wheel(self, dependencies: Path, requirements: Path, target: Path) -> Path:
        """Build our own wheel with the builder tree's compiler for the image's processor into the folder `target`.

        The CMake folder stays in the cache: only what changed is compiled again.
        """
        libraries = list(dependencies.glob("wasmtime/*/_libwasmtime.so"))
        if len(libraries) != 1:
            raise BuildError(
                f"expected one _libwasmtime.so in {dependencies}/wasmtime, found {len(libraries)}"
            )
        cmake = self._cache / f"compiled-{self._builder.key}"
        cmake.mkdir(exist_ok=True)
        target.mkdir(parents=True)
        run_in_builder(
            self._builder.tree,
            [
                *(
                    "python3",
                    "-m",
                    "pip",
                    "wheel",
                    "--no-build-isolation",
                    "--no-deps",
                    "--no-index",
                    "--no-cache-dir",
                ),
                *("--disable-pip-version-check", "--wheel-dir=/hf/wheel"),
                "--config-settings=build-dir=/hf/cmake",
                f"--config-settings=cmake.define.WASMTIME_LIBRARY=/hf/site/{libraries[0].relative_to(dependencies)}",
                *self._cross_settings(),
                "/hf/source",
            ],
            [
                Bind(self._snapshot.root, "/hf/source"),
                Bind(dependencies, "/hf/site"),
                Bind(requirements, "/hf/requirements"),
                Bind(cmake, "/hf/cmake", writable=True),
                Bind(target, "/hf/wheel", writable=True),
            ],
            log=self._log,
            what="building the runtime",
            environment={
                "PYTHONPATH": "/hf/requirements",
                "PYTHONDONTWRITEBYTECODE": "1",
                **self._cross_environment(),
            },
        )
        (wheel,) = target.glob("holdfast-*.whl")
        return wheel

    def _cross_settings(self) -> list[str]:
        """Return what tells CMake that it compiles for another processor than it runs on."""
        tools = self._builder.architecture.tools
        if tools is None:
            return []
        definitions = {
            "CMAKE_SYSTEM_NAME": "Linux",
            "CMAKE_SYSTEM_PROCESSOR": tools.split("-", 1)[0],
            "CMAKE_CXX_COMPILER": self._builder.architecture.tool("g++"),
            "CMAKE_STRIP": self._builder.architecture.tool("strip"),
        }
        return [f"--config-settings=cmake.define.{name}={value}" for name, value in definitions.items()]

    def _cross_environment(self) -> dict[str, str]:
        """Return what lets pkg-config find that processor's libraries."""
        tools = self._builder.architecture.tools
        if tools is None:
            return {}
        return {"PKG_CONFIG_LIBDIR": f"/usr/lib/{tools}/pkgconfig:/usr/share/pkgconfig"}

    def assemble(self, dependencies: Path, wheel: Path, tree: Path) -> None:
        """Lay the image's files out below `tree`."""
        site = tree / _SITE
        shutil.copytree(dependencies, site, symlinks=True, copy_function=_link)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
        programs = sorted((site / "holdfast/bin").glob("holdfast-*"))
        binaries = tree / "usr/bin"
        binaries.mkdir(parents=True)
        for program in programs:
            program.chmod(0o755)
            (binaries / program.name).symlink_to(f"/{program.relative_to(tree)}")
        self._environment(tree, site)
        self._examples(tree)
        self._compile(tree)

    def _environment(self, tree: Path, site: Path) -> None:
        home = tree / "usr/lib/holdfast"
        (home / "bin").mkdir()
        (home / "bin/python").symlink_to("/usr/bin/python3")
        (home / "pyvenv.cfg").write_text(
            f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {PYTHON_VERSION}\n"
        )
        (points,) = site.glob("holdfast-*.dist-info/entry_points.txt")
        scripts = configparser.ConfigParser()
        scripts.read(points)
        for name, place in scripts["console_scripts"].items():
            module, function = place.split(":")
            script = home / "bin" / name
            script.write_text(
                f"#!/usr/lib/holdfast/bin/python\nimport sys\n\n"
                f"from {module} import {function}\n\nsys.exit({function}())\n"
            )
            script.chmod(0o755)
            (tree / "usr/bin" / name).symlink_to(f"/usr/lib/holdfast/bin/{name}")

    def _examples(self, tree: Path) -> None:
        share = tree / "usr/share/holdfast"
        controllers = share / "controllers"
        controllers.mkdir(parents=True)
        shutil.copyfile(self._snapshot.root / "examples/robots/arm.toml", share / "robot.toml")
        shutil.copytree(self._snapshot.root / "examples/robots", share / "robots")
        for folder in ("examples/controllers", "hil_tests/controllers"):
            for file in sorted((self._snapshot.root / folder).glob("*.wat")):
                shutil.copyfile(file, controllers / file.name)

    def _compile(self, tree: Path) -> None:
        """Compile to byte code now: on the robot nobody may write there and each start would pay for it."""
        run_in_builder(
            self._builder.tree,
            [
                *("python3", "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash"),
                *("-s", "/hf/tree", f"/hf/tree/{_SITE}"),
            ],
            [Bind(tree, "/hf/tree", writable=True)],
            log=self._log,
            what="compiling Python to byte code",
        )

    def _installed(self, kind: str, selection: list[str], platform: str) -> Path:
        return installed(self._cache, self._snapshot.root, self._log, kind, selection, platform)


def _link(source: str, target: str) -> str:
    """Hard-link a file of the cache; nothing of these trees is written to later."""
    os.link(source, target)
    return target
