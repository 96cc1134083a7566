"""The safety daemon's record of each stop: what it and the core saw and did from 2 s before to 0.5 s after.

A file is one line of JSON, which describes itself, and then packed little-endian records, one for each of the daemon's
periods (docs/reference.md, "Evidence"). The daemon writes it after the stop; here it is only read.
"""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import ConfigError, HoldfastError
from holdfast.places import state_directory

_VERSION = 1
_MAX_HEADER_BYTES = 65_536
_NAME = re.compile(r"^stop-(\d{10,20})\.evidence$")


class EvidenceError(HoldfastError):
    """A record of a stop that cannot be used: damaged, or of another version."""


@dataclass(frozen=True)
class Evidence:
    """The record of one stop."""

    file: Path
    header: dict[str, Any]
    entries: NDArray[np.void]

    @property
    def stop(self) -> int:
        """Number of the stop, as `holdfast robot status` shows it."""
        return int(self.header["stop"])

    def time_ms(self) -> NDArray[np.float64]:
        """Return the time of each entry from the stop, in milliseconds; negative before it."""
        since = self.entries["mono_ns"].astype(np.int64) - int(self.header["stop_mono_ns"])
        return np.asarray(since / 1e6, dtype=np.float64)

    def named(self, field: str, names: str) -> list[str]:
        """Return a field of numbers as the names that the header's list `names` has for them."""
        known = self.header[names]
        return [known[value] if value < len(known) else str(value) for value in map(int, self.entries[field])]

    def flags(self, index: int) -> list[str]:
        """Return the names of the flags that are set in an entry."""
        bits = int(self.entries["flags"][index])
        return [name for bit, name in enumerate(self.header["flags"]) if bits >> bit & 1]

    def summary(self) -> dict[str, Any]:
        """Return what a list of records shows of this one."""
        return {
            key: self.header[key] for key in ("stop", "cause", "saved", "robot", "entries", "missing")
        } | {"file": str(self.file)}


def evidence_directory() -> Path:
    """Return the directory that the safety daemon writes to."""
    return state_directory() / "safety" / "evidence"


def evidence_files(directory: Path) -> dict[int, Path]:
    """Return the records of a directory by the number of their stop, oldest first.

    Raises:
        ConfigError: the directory cannot be read.
    """
    try:
        names = sorted(path.name for path in directory.iterdir())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(
            f"{directory}: cannot be read ({error.strerror}); use sudo, or join the group holdfast"
        ) from error
    return {int(found[1]): directory / name for name in names if (found := _NAME.match(name))}


def load_evidence(file: Path) -> Evidence:
    """Read a record and check that it is whole.

    Raises:
        EvidenceError: it is damaged, or of a version that is not known.
        ConfigError: it cannot be read.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror})") from error
    line, separator, data = content.partition(b"\n")
    if not separator or len(line) > _MAX_HEADER_BYTES:
        raise EvidenceError(f"{file}: is not a record of a stop: it does not begin with a line of JSON")
    try:
        header = json.loads(line)
        version = header["version"] if header["format"] == "holdfast-evidence" else None
        if version != _VERSION:
            raise EvidenceError(
                f"{file}: version {version} of the format is not known; read it with the Holdfast that wrote it"
            )
        dtype = np.dtype([_field(field) for field in header["fields"]])
        whole = len(data) == dtype.itemsize * header["entries"] and zlib.crc32(data) == header["crc32"]
    except (ValueError, KeyError, TypeError) as error:
        raise EvidenceError(f"{file}: is damaged: its first line is no description ({error!r})") from error
    if not whole:
        raise EvidenceError(f"{file}: is damaged: its checksum does not fit")
    return Evidence(file, header, np.frombuffer(data, dtype=dtype))


def _field(field: dict[str, Any]) -> Any:
    name, dtype = str(field["name"]), str(field["dtype"])
    return (name, dtype, (int(field["count"]),)) if "count" in field else (name, dtype)
