"""The client of the daemons' sockets, against servers that behave badly."""

import asyncio
import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.errors import RefusedError, UnreachableError
from holdfast.seqpacket import Connection, ask

Answer = Callable[[socket.socket, bytes], object]


@pytest.fixture
def serve(robot_directory: Path) -> Iterator[Callable[[Answer], Path]]:
    """A SEQPACKET server that gives each message to `answer`."""
    path = robot_directory / "daemon.sock"
    server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    threads: list[threading.Thread] = []

    def start(answer: Answer) -> Path:
        server.bind(str(path))
        server.listen()

        def work() -> None:
            try:
                connection, _ = server.accept()
            except OSError:
                return  # the test was over before this thread began
            with connection:
                while data := connection.recv(65_536):
                    answer(connection, data)

        threads.append(threading.Thread(target=work, daemon=True))
        threads[0].start()
        return path

    yield start
    server.close()
    for thread in threads:
        thread.join(5)


def open_files() -> set[str]:
    """Return what this process has open."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            found.add(str(descriptor.readlink()))
    return found


def test_request_and_reply(serve: Callable[[Answer], Path]) -> None:
    path = serve(lambda c, data: c.send(json.dumps({"ok": True, "got": json.loads(data)}).encode()) or None)
    assert asyncio.run(ask(path, {"op": "status"}))["got"] == {"op": "status"}


def test_a_refusal_is_its_sentence(serve: Callable[[Answer], Path]) -> None:
    path = serve(lambda c, _: c.send(b'{"ok": false, "error": "the latch stands"}'))
    with pytest.raises(RefusedError, match="the latch stands"):
        asyncio.run(ask(path, {"op": "arm"}))


@pytest.mark.parametrize("reply", [b"not json", b"[1]", b"\xff\xff", b'"text"'])
def test_a_reply_that_is_no_object_breaks_the_connection(
    serve: Callable[[Answer], Path], reply: bytes
) -> None:
    path = serve(lambda c, _: c.send(reply))
    with pytest.raises(UnreachableError, match="the connection broke"):
        asyncio.run(ask(path, {"op": "status"}))


def test_silence_ends_after_the_time_limit(serve: Callable[[Answer], Path]) -> None:
    path = serve(lambda c, data: None)
    with pytest.raises(UnreachableError, match=r"no answer to 'status' within 0\.2 s"):
        asyncio.run(ask(path, {"op": "status"}, timeout_s=0.2))


def test_a_daemon_that_hangs_up(serve: Callable[[Answer], Path]) -> None:
    path = serve(lambda c, _: c.shutdown(socket.SHUT_RDWR))
    with pytest.raises(UnreachableError, match="closed by the daemon"):
        asyncio.run(ask(path, {"op": "status"}))


def test_descriptors_come_along_and_none_is_leaked(serve: Callable[[Answer], Path], tmp_path: Path) -> None:
    note = tmp_path / "note"
    note.write_text("passed")

    def answer(connection: socket.socket, _: bytes) -> None:
        with note.open() as file:
            socket.send_fds(connection, [b'{"ok": true}'], [file.fileno()])

    path = serve(answer)

    async def work() -> None:
        async with await Connection.open(path) as connection:
            _, descriptors = await connection.request_with_descriptors({"op": "segment"})
            with os.fdopen(descriptors[0]) as file:
                assert file.read() == "passed"
            for _ in range(5):
                await connection.request({"op": "segment"})
            deadline = time.monotonic() + 60
            while str(note) in open_files():
                assert time.monotonic() < deadline, "a descriptor that nobody asked for stayed open"

    asyncio.run(work())


def test_concurrent_requests_get_their_own_answers(serve: Callable[[Answer], Path]) -> None:
    path = serve(
        lambda c, data: c.send(json.dumps({"ok": True, "n": json.loads(data)["n"]}).encode()) or None
    )

    async def work() -> None:
        async with await Connection.open(path) as connection:
            replies = await asyncio.gather(*(connection.request({"op": "x", "n": n}) for n in range(50)))
            assert [reply["n"] for reply in replies] == list(range(50))

    asyncio.run(work())


def test_a_request_that_is_too_large_is_not_sent(serve: Callable[[Answer], Path]) -> None:
    path = serve(lambda c, data: None)
    with pytest.raises(UnreachableError, match="more than 65536"):
        asyncio.run(ask(path, {"op": "x" * 70_000}))


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="is holdfast-safety running"):
        asyncio.run(ask(tmp_path / "safety.sock", {"op": "status"}))
