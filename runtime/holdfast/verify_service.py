"""`holdfast-verify@.service`: one verification for whoever is connected, as a user of its own.

systemd hands over the connection as standard input. The source stays a file of the one who asks: nothing that he
wrote ever becomes a file of this user, since the core takes each of those for machine code that was compiled here.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast.errors import HoldfastError, RejectedError
from holdfast.places import config_file, state_directory
from holdfast.seqpacket import MAX_MESSAGE_BYTES
from holdfast.worker.verify import Verifier

_NAME = re.compile(r"[0-9a-f]{64}\.cwasm")
_MAX_FILES = 2
_PATIENCE_S = 10.0


def main() -> None:
    """Answer the one request of the connection at standard input."""
    os.umask(0o027)
    connection = socket.socket(fileno=os.dup(0))
    connection.settimeout(_PATIENCE_S)
    request, files, _, _ = socket.recv_fds(connection, MAX_MESSAGE_BYTES, _MAX_FILES)
    if not request:
        return
    connection.setblocking(False)
    reply = asyncio.run(_answer(connection, request, files))
    if reply is not None:
        connection.setblocking(True)
        connection.send(json.dumps(reply).encode())


async def _answer(connection: socket.socket, request: bytes, files: Sequence[int]) -> dict[str, Any] | None:
    """Return the reply; None once nobody waits for it."""
    gone = asyncio.create_task(asyncio.get_running_loop().sock_recv(connection, 1))
    work = asyncio.create_task(_verified(request, files))
    done, _ = await asyncio.wait((gone, work), return_when=asyncio.FIRST_COMPLETED)
    for task in (gone, work):
        task.cancel()
    await asyncio.wait((gone, work))
    return work.result() if work in done else None


async def _verified(request: bytes, files: Sequence[int]) -> dict[str, Any]:
    try:
        out = _folder() / _name_in(request, files)
        source, *traces = (Path(f"/proc/self/fd/{fd}") for fd in files)
        report = await Verifier(config_file()).verify(source, out, traces[0] if traces else None, files)
    except RejectedError as error:
        return {"ok": True, "report": error.report}
    except (HoldfastError, ValueError) as error:
        return {"ok": False, "error": str(error)}
    return {"ok": True, "report": report}


def _folder() -> Path:
    return state_directory() / "controllers"


def _name_in(request: bytes, files: Sequence[int]) -> str:
    """Return the name of the file to make.

    Raises:
        ValueError: the request is no such request.
    """
    body = json.loads(request)
    if not isinstance(body, dict) or set(body) != {"op", "name"} or body["op"] != "verify":
        raise ValueError('a request is {"op": "verify", "name": "<SHA-256 of the source>.cwasm"}')
    name = body["name"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not 64 hexadecimal digits and .cwasm")
    if not files:
        raise ValueError(
            "a request brings the descriptor of the source, and may bring one of recorded states"
        )
    return name


if __name__ == "__main__":
    main()
