"""labgrid's own virtual environment: made once from the locked requirements, named by their content."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from holdfast_bench.labgrid.errors import LabgridError
from holdfast_image.build import repository_root
from holdfast_image.cache import cache_directory, content_hash, locked, require_space
from holdfast_image.errors import ImageError
from holdfast_image.namespace import tail_of
from holdfast_image.python_packages import find_uv

REQUIREMENTS = "hil_tests/labgrid-requirements.txt"
_NEEDED_BYTES = 300 << 20
_FINISHED = "holdfast-finished"


def ensure_environment(root: Path | None = None, log: Path | None = None) -> Path:
    """Return the folder of labgrid's programs, installed first if the cache does not have them.

    Raises:
        LabgridError: it cannot be made; the message says why.
    """
    try:
        repository = root or repository_root(Path(__file__).parent)
        requirements = repository / REQUIREMENTS
        version = f"{sys.version_info.major}.{sys.version_info.minor} {sys.base_prefix}"
        cache = cache_directory()
        path = cache / f"labgrid-{content_hash(repository, [requirements], version)}"
        # Not renamed into place as a whole: the first lines of its programs hold its path.
        with locked(path.with_suffix(".lock")):
            if not (path / _FINISHED).exists():
                require_space(cache, _NEEDED_BYTES, "labgrid's environment")
                _make(path, requirements, log or cache / "labgrid.log")
                (path / _FINISHED).touch()
    except ImageError as error:
        raise LabgridError(str(error)) from error
    return path / "bin"


def _make(path: Path, requirements: Path, log: Path) -> None:
    uv = find_uv()
    packages = ("--require-hashes", "--only-binary", ":all:", "-r", str(requirements))
    steps = (
        [uv, "venv", "--clear", "--python", sys.executable, "--no-project", str(path)],
        [uv, "pip", "install", "--python", str(path / "bin/python"), *packages],
    )
    with log.open("wb") as output:
        for step in steps:
            if subprocess.run(step, stdout=output, stderr=output, check=False).returncode != 0:
                raise LabgridError(
                    f"labgrid could not be installed into {path}; it comes from the package index that uv is set "
                    f"to, once. The end of {log}:\n{tail_of(log)}"
                )
