"""What is asked of the language model on the robot, by a server that answers as Ollama does, or does not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from holdfast.broker import free_port
from holdfast_bench.guest.commands import ScenarioError
from holdfast_bench.guest.local_model import LocalModel


class Server(ThreadingHTTPServer):
    """Answers requests with the statuses it was given, one after the other; afterwards with 200."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.statuses: list[int] = []
        self.requests: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.path, body))
        answer = b'{"error": "no memory"}'
        self.send_response(self.server.statuses.pop(0) if self.server.statuses else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002
        """Say nothing on the terminal."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_the_model_is_handed_over_and_asked_once(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"GGUF")
    asyncio.run(LocalModel(server.url).prepare(file))
    (blob,) = [path for path, body in server.requests if body == b"GGUF"]
    created = next(json.loads(body) for path, body in server.requests if path == "/api/create")
    assert blob == f"/api/blobs/{created['files']['tiny.gguf']}"
    asked = [json.loads(body) for path, body in server.requests if path == "/api/generate"]
    assert [question["model"] for question in asked] == [created["model"]]


def test_what_ollama_refuses_ends_the_scenario(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(b"no model")
    server.statuses = [200, 201, 400]
    with pytest.raises(ScenarioError, match=r"/api/create: 400 .*no memory.*journalctl"):
        asyncio.run(LocalModel(server.url).prepare(file))


def test_an_image_without_ollama_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="holdfast image build --ollama"):
        asyncio.run(LocalModel().prepare(tmp_path / "tiny.gguf"))


def test_only_changes_are_told(server: Server) -> None:
    model = LocalModel(server.url)
    told: list[tuple[str, dict[str, str]]] = []

    def say(event: str, **fields: str) -> None:
        told.append((event, fields))

    async def ask() -> None:
        await model.ask(say)
        await model.ask(say)
        server.statuses = [500, 500]
        await model.ask(say)
        await model.ask(say)
        await model.ask(say)

    asyncio.run(ask())
    assert [event for event, _ in told] == ["model answers", "model is silent", "model answers"]
    assert told[1][1]["why"] == '500 {"error": "no memory"}'
    assert (model.asked, model.answered) == (5, 3)


def test_who_owes_an_answer_is_not_asked_again(server: Server) -> None:
    model = LocalModel(server.url)
    told: list[str] = []

    async def ask() -> None:
        await asyncio.gather(*(model.ask(lambda event, **fields: told.append(event)) for _ in range(3)))

    asyncio.run(ask())
    assert told == ["model answers"]
    assert len(server.requests) == model.asked == 1


def test_nobody_who_listens_is_silence() -> None:
    model = LocalModel(f"http://127.0.0.1:{free_port()}")
    told: list[str] = []
    asyncio.run(model.ask(lambda event, **fields: told.append(f"{event}: {fields['why']}")))
    assert told == ["model is silent: [Errno 111] Connection refused"]
    assert model.stands == "is silent"
