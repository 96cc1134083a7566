"""Controllers are compiled by a process behind a socket, as systemd starts it on a robot."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.config import load_robot_config
from holdfast.errors import RejectedError, UnreachableError
from holdfast.worker.verify import Verifier, VerifyClient, verifier_for

EXAMPLES = Path(__file__).parents[2] / "examples"
ARM = EXAMPLES / "robots" / "arm.toml"
SINE = EXAMPLES / "controllers" / "sine.wat"
NAME = hashlib.sha256(SINE.read_bytes()).hexdigest() + ".cwasm"


class Listening:
    """Accepts and starts one process a connection, as `holdfast-verify.socket` does."""

    def __init__(self, run: Path, state: Path) -> None:
        self.path = run / "verify.sock"
        self.processes: list[subprocess.Popen[bytes]] = []
        self._environment = os.environ | {"HOLDFAST_CONFIG": str(ARM), "HOLDFAST_STATE_DIR": str(state)}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(str(self.path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                if not connection.recv(1, socket.MSG_PEEK):
                    return
                command = [sys.executable, "-m", "holdfast.verify_service"]
                self.processes.append(
                    subprocess.Popen(command, stdin=connection.fileno(), env=self._environment)
                )

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as last:
            last.connect(str(self.path))
        self._thread.join()
        self._socket.close()
        for process in self.processes:
            assert process.wait(60) == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return where compiled controllers go."""
    (tmp_path / "controllers").mkdir()
    return tmp_path / "controllers"


@pytest.fixture
def listening(tmp_path: Path, folder: Path) -> Iterator[Listening]:
    listening = Listening(tmp_path, folder.parent)
    yield listening
    listening.close()


def verify(listening: Listening, source: Path, out: Path, trace: Path | None = None) -> dict[str, Any]:
    return asyncio.run(VerifyClient(listening.path).verify(source, out, trace))


def asked(listening: Listening, request: bytes, files: list[int]) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(listening.path))
        socket.send_fds(client, [request], files)
        return dict(json.loads(client.recv(1 << 16)))


def test_a_robots_worker_asks_who_listens_and_a_workstations_runs_it_itself(
    tmp_path: Path, listening: Listening
) -> None:
    assert isinstance(verifier_for(ARM, listening.path.parent), VerifyClient)
    assert isinstance(verifier_for(ARM, tmp_path / "elsewhere"), Verifier)


def test_what_passed_is_compiled_and_told_of(listening: Listening, folder: Path) -> None:
    report = verify(listening, SINE, folder / NAME)
    assert report["ok"] is True
    assert "trace" not in report["states"]
    assert [file.name for file in folder.iterdir()] == [NAME]


def test_recorded_states_reach_it(listening: Listening, folder: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text(json.dumps({"states": [[0.0] * len(load_robot_config(ARM).state)]}))
    assert "trace" in verify(listening, SINE, folder / NAME, trace)["states"]
    trace.write_text("{}")
    with pytest.raises(UnreachableError, match="states"):
        verify(listening, SINE, folder / NAME, trace)


def test_what_did_not_pass_is_rejected_with_its_reason(
    listening: Listening, folder: Path, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.write_text("(module)")
    with pytest.raises(RejectedError, match="the export `process` is missing"):
        verify(listening, source, folder / NAME)
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    "request_",
    [
        b"[]",
        b"{",
        b'{"op": "verify"}',
        b'{"op": "load", "name": "x"}',
        json.dumps({"op": "verify", "name": "../../etc/" + "a" * 64 + ".cwasm"}).encode(),
        json.dumps({"op": "verify", "name": NAME + "\n"}).encode(),
        json.dumps({"op": "verify", "name": NAME.upper()}).encode(),
        json.dumps({"op": "verify", "name": NAME, "out": "elsewhere"}).encode(),
    ],
)
def test_another_request_makes_no_file(listening: Listening, folder: Path, request_: bytes) -> None:
    with SINE.open("rb") as source:
        reply = asked(listening, request_, [source.fileno()])
    assert reply["ok"] is False
    assert reply["error"]
    assert not list(folder.iterdir())


def test_a_request_without_a_source_is_refused(listening: Listening, folder: Path) -> None:
    reply = asked(listening, json.dumps({"op": "verify", "name": NAME}).encode(), [])
    assert reply["ok"] is False
    assert "descriptor of the source" in reply["error"]
    assert not list(folder.iterdir())


def test_a_verification_ends_when_nobody_waits_for_it(listening: Listening, folder: Path) -> None:
    """The fixture's `close` waits for its end."""
    with SINE.open("rb") as source, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(str(listening.path))
        body = json.dumps({"op": "verify", "name": NAME}).encode()
        socket.send_fds(client, [body], [source.fileno()])
