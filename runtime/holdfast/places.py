"""Where a robot keeps its configuration, sockets, state and executables."""

from __future__ import annotations

import os
import sysconfig
from pathlib import Path

from holdfast.errors import ConfigError


def config_file() -> Path:
    """Return the path of robot.toml ($HOLDFAST_CONFIG, /etc/holdfast/robot.toml)."""
    return Path(os.environ.get("HOLDFAST_CONFIG") or "/etc/holdfast/robot.toml")


def run_directory() -> Path:
    """Return the directory of the sockets ($HOLDFAST_RUN_DIR, /run/holdfast)."""
    return Path(os.environ.get("HOLDFAST_RUN_DIR") or "/run/holdfast")


def state_directory() -> Path:
    """Return the directory of what survives a power cut ($HOLDFAST_STATE_DIR, /var/lib/holdfast)."""
    return Path(os.environ.get("HOLDFAST_STATE_DIR") or "/var/lib/holdfast")


def executable(name: str) -> Path:
    """Return the path of one of the C++ executables, which are installed beside this package.

    `$HOLDFAST_BIN_DIR` names another directory (a CMake build tree under development).

    Raises:
        ConfigError: the executable is not there.
    """
    override = os.environ.get("HOLDFAST_BIN_DIR")
    # Not beside this file: an editable install has the sources there, and what CMake installed in site-packages.
    directory = Path(override) if override else Path(sysconfig.get_path("platlib")) / "holdfast" / "bin"
    if os.access(directory / name, os.X_OK):
        return directory / name
    raise ConfigError(
        f"the executable {name} is not in {directory}: build it with `uv sync`, or name its directory in "
        "HOLDFAST_BIN_DIR"
    )


def repository() -> Path:
    """Return the root of the repository around the working directory.

    Raises:
        ConfigError: the working directory is not inside the repository.
    """
    here = Path.cwd()
    for place in (here, *here.parents):
        if (place / "examples" / "robots").is_dir():
            return place
    raise ConfigError(f"{here} is not inside the holdfast repository; change into it")


def build_directory() -> Path:
    """Return where results go: $HOLDFAST_BUILD_DIR, or `build` in the repository around the working directory.

    Raises:
        ConfigError: there is neither.
    """
    override = os.environ.get("HOLDFAST_BUILD_DIR")
    return Path(override) if override else repository() / "build"
