"""JSON requests over Unix SOCK_SEQPACKET sockets, with file descriptors: how the daemons of a robot are spoken to.

asyncio has no transport for this socket type, so a connection waits with the loop's readers itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from holdfast.errors import RefusedError, UnreachableError

MAX_MESSAGE_BYTES = 65_536
ANSWER_S = 5.0
"""How long an answer may take by default: a busy machine stands still for two seconds at times."""
_MAX_DESCRIPTORS = 4


class Connection:
    """One connection to a daemon. Requests are answered in order; concurrent callers take turns."""

    def __init__(self, path: Path, sock: socket.socket, timeout_s: float) -> None:
        self._path = path
        self._socket = sock
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path, timeout_s: float = ANSWER_S) -> Self:
        """Connect to the socket at `path`.

        Raises:
            UnreachableError: there is no such socket, nobody listens, or this user may not open it.
        """
        sock = socket.socket(
            socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        try:
            sock.connect(str(path))
        except PermissionError as error:
            sock.close()
            raise UnreachableError(
                f"{path}: this user may not open the socket; use sudo or the group holdfast"
            ) from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            sock.close()
            raise UnreachableError(f"{path}: nobody listens there; is {_daemon_of(path)} running?") from error
        except OSError as error:
            sock.close()
            raise UnreachableError(f"{path}: {error.strerror or error}") from error
        return cls(path, sock, timeout_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket. The daemon takes that as the loss of this client unless it has detached."""
        self._socket.close()

    async def request(self, body: dict[str, Any], descriptors: Sequence[int] = ()) -> dict[str, Any]:
        """Send one request and return its reply, which has `ok` = true.

        Raises:
            UnreachableError: the daemon is gone or does not answer in time.
            RefusedError: the daemon answered with `ok` = false.
        """
        reply, received = await self.request_with_descriptors(body, descriptors)
        for fd in received:
            os.close(fd)
        return reply

    async def request_with_descriptors(
        self, body: dict[str, Any], descriptors: Sequence[int] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        """Like `request`, and hand over the file descriptors of the reply; the caller owns them."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._timeout_s):
                    reply, received = await self._exchange(json.dumps(body).encode(), descriptors)
            except TimeoutError as error:
                # A late reply would be taken for the answer to the next request.
                self.close()
                raise UnreachableError(
                    f"{self._path}: no answer to {body.get('op')!r} within {self._timeout_s:g} s"
                ) from error
            except (OSError, ValueError) as error:
                self.close()
                raise UnreachableError(f"{self._path}: the connection broke: {error}") from error
        if not reply.get("ok"):
            for fd in received:
                os.close(fd)
            raise RefusedError(str(reply.get("error", "refused without a reason")))
        return reply, received

    async def _exchange(self, message: bytes, descriptors: Sequence[int]) -> tuple[dict[str, Any], list[int]]:
        if len(message) > MAX_MESSAGE_BYTES:
            raise ValueError(f"the request has {len(message)} bytes, more than {MAX_MESSAGE_BYTES}")
        while True:
            try:
                socket.send_fds(self._socket, [message], list(descriptors))
                break
            except BlockingIOError:
                await self._ready(
                    asyncio.get_running_loop().add_writer, asyncio.get_running_loop().remove_writer
                )
        while True:
            try:
                data, received, _, _ = socket.recv_fds(self._socket, MAX_MESSAGE_BYTES, _MAX_DESCRIPTORS)
                break
            except BlockingIOError:
                await self._ready(
                    asyncio.get_running_loop().add_reader, asyncio.get_running_loop().remove_reader
                )
        if not data:
            raise ConnectionResetError("closed by the daemon")
        reply = json.loads(data)
        if not isinstance(reply, dict):
            raise ValueError("the reply is not a JSON object")
        return reply, received

    async def _ready(self, add: Any, remove: Any) -> None:
        ready = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not ready.done():
                ready.set_result(None)

        add(self._socket.fileno(), wake)
        try:
            await ready
        finally:
            with contextlib.suppress(OSError, ValueError):
                remove(self._socket.fileno())


def _daemon_of(path: Path) -> str:
    return {
        "safety.sock": "holdfast-safety",
        "control.sock": "holdfast-control",
        "plant-control.sock": "holdfast-plant",
        "verify.sock": "holdfast-verify.socket",
    }.get(path.name, "the daemon")


async def ask(path: Path, body: dict[str, Any], timeout_s: float = ANSWER_S) -> dict[str, Any]:
    """Connect to `path`, make one request and close.

    Raises:
        UnreachableError: nobody answers there.
        RefusedError: the daemon refused.
    """
    async with await Connection.open(path, timeout_s) as connection:
        return await connection.request(body)
