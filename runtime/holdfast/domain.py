"""The JetStream domain of a robot: its id, and what tells its streams from those of an earlier robot of that id."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

_LIFE = re.compile(r"[0-9a-f]{8}")


def jetstream_domain(robot: str, store: Path) -> str:
    """Return the domain of the streams in the broker's folder `store`; it lasts as long as they do (decision 0042).

    Raises:
        OSError: the folder cannot be read or written.
    """
    file = store / "life"
    try:
        life = file.read_text(encoding="ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        life = ""
    if not _LIFE.fullmatch(life):  # the first start, or a file that a power cut emptied
        life = secrets.token_hex(4)
        partial = file.with_suffix(".partial")
        with partial.open("w", encoding="ascii") as stream:
            stream.write(f"{life}\n")
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(file)
    return f"{robot}-{life}"
