"""Locked Python packages, installed by uv for the image's Python, whatever Python runs here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from holdfast_image.cache import content_hash, made_whole
from holdfast_image.errors import BuildError, HostError, NetworkError
from holdfast_image.namespace import tail_of

PYTHON_VERSION = "3.13"
# Part of the names of installed trees: those of before have records of programs.
_NO_PROGRAMS = "without programs"
_NETWORK_SIGNS = ("Failed to fetch", "error sending request", "dns error", "Could not connect", "timed out")


def installed(cache: Path, project: Path, log: Path, kind: str, selection: list[str], platform: str) -> Path:
    """Return a folder of the cache with locked packages installed for the image's Python.

    Args:
        cache: where it is kept.
        project: the folder of pyproject.toml and uv.lock.
        log: takes what uv says.
        kind: begins the folder's name.
        selection: options of `uv export`.
        platform: of the wheels, as in their names.

    Raises:
        HostError: there is no uv.
        NetworkError: the packages cannot be fetched.
        BuildError: uv failed for another reason.
    """
    exported = _uv(project, log, "export", "--frozen", "--no-header", "--no-annotate", *selection)
    requirements = "".join(line for line in exported.splitlines(keepends=True) if not line.startswith("-e"))
    key = content_hash(Path("/"), [], PYTHON_VERSION, platform, _NO_PROGRAMS, requirements)
    target = cache / f"{kind}-{key}"
    if target.is_dir():
        return target
    with made_whole(target) as partial:
        listed = cache / f"{target.name}.txt"
        listed.write_text(requirements)
        _uv(
            project,
            log,
            *("pip", "install", "--cache-dir", str(cache / "uv"), "--python-version", PYTHON_VERSION),
            *("--python-platform", platform, "--only-binary", ":all:", "--require-hashes", "--no-deps"),
            *("--link-mode", "copy", "--target", str(partial), "--requirement", str(listed)),
        )
        remove_programs(partial)
        listed.unlink()
    return target


def _uv(project: Path, log: Path, *arguments: str) -> str:
    with log.open("ab") as output:
        ran = subprocess.run(
            [find_uv(), *arguments],
            cwd=project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=output,
            text=True,
            env={**os.environ, "UV_PYTHON": sys.executable, "UV_NO_PROGRESS": "1"},
            check=False,
        )
    if ran.returncode == 0:
        return ran.stdout
    if any(sign in tail_of(log, 30) for sign in _NETWORK_SIGNS):
        raise NetworkError(
            f"cannot fetch Python packages; is the network up? "
            f"uv's own index settings apply (all of it: {log})"
        )
    raise BuildError(f"uv {arguments[0]} failed; the end of {log}:\n{tail_of(log)}")


def remove_programs(site: Path) -> None:
    """Remove the programs that came with packages installed in `site`, and their lines in the packages' records.

    Each program begins with the path of the Python that installed it, so its hash in the record would tell one checkout
    from another.
    """
    shutil.rmtree(site / "bin", ignore_errors=True)
    for record in site.glob("*.dist-info/RECORD"):
        lines = record.read_text().splitlines(keepends=True)
        # A file of its own: uv may have linked it to the one in its cache.
        partial = record.with_name("RECORD.partial")
        partial.write_text("".join(line for line in lines if not line.startswith(("bin/", '"bin/'))))
        partial.replace(record)


def find_uv() -> str:
    """Return uv's path: beside this Python (it is locked with the other tools), else on PATH.

    Raises:
        HostError: there is none.
    """
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.is_file() else shutil.which("uv")
    if found is None:
        raise HostError(
            "uv is not installed beside this Python nor on PATH; make .venv with `make up` or `uv sync`"
        )
    return found
