"""A core that does nothing but answer, for programs that ask one question."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def answering_core(run_directory: Path, **status: object) -> Iterator[None]:
    """Listen on control.sock and answer the one request that must come with `status`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(run_directory / "control.sock"))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.send(json.dumps({"ok": True, **status}).encode())

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            thread.join()
