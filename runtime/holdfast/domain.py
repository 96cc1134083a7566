"""The JetStream domain of a robot: its id, and what tells its streams from those of an earlier robot of that id."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from holdfast_ota.durable import write_file

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
        write_file(file, f"{life}\n".encode())
    return f"{robot}-{life}"
