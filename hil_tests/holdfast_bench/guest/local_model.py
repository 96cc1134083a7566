"""The language model on the robot, asked as an agent would: does it answer, and from when on not.

The bench variant of an image with Ollama has a tiny model (holdfast_image.tiny_model); it goes in by HTTP.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from holdfast_bench.guest.commands import ScenarioError
from holdfast_bench.guest.scenario import until

_FILE = Path("/usr/share/holdfast/tiny.gguf")
_URL = "http://127.0.0.1:11434"
_NAME = "tiny"
_QUESTION: dict[str, Any] = {
    "model": _NAME,
    "prompt": "where are you",
    "stream": False,
    "keep_alive": -1,
    "options": {"num_predict": 32, "seed": 1},
}
_PATIENCE_S = 20.0
"""For an answer, with the loading of the model."""
_AGAIN_S = 1.0
_START_S = 300.0


class LocalModel:
    """One model: how it stood when it was asked last, and how often it was asked and answered."""

    def __init__(self, url: str = _URL, patience_s: float = _PATIENCE_S) -> None:
        self._url = url
        self._patience_s = patience_s
        self._waits = False
        self.stands = "not asked"
        self.asked = 0
        self.answered = 0

    async def prepare(self, file: Path = _FILE) -> None:
        """Give Ollama the model, and wait for its first answer.

        Raises:
            ScenarioError: there is no Ollama or no model here, or it does not answer.
        """
        if not file.is_file():
            raise ScenarioError(
                f"{file} is not there: this image has no Ollama, or is no bench variant; "
                "build it with `holdfast image build --ollama`"
            )

        async def listens() -> bool:
            return await self._reaches("GET", "/api/version") is None

        await until("Ollama listens", listens, _AGAIN_S, _START_S)
        content = await asyncio.to_thread(file.read_bytes)
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        await self._must("POST", f"/api/blobs/{digest}", content)
        await self._must(
            "POST", "/api/create", {"model": _NAME, "files": {file.name: digest}, "stream": False}
        )

        async def answers() -> bool:
            return await self._reaches("POST", "/api/generate", _QUESTION) is None

        await until("the model answers", answers, _AGAIN_S, _START_S)

    async def ask(self, say: Callable[..., None]) -> None:
        """Ask once, unless the last answer is still to come.

        `say` is called with "model answers", or with "model is silent" and `why`, if that has changed.
        """
        if self._waits:
            return
        self._waits = True
        why = await self._reaches("POST", "/api/generate", _QUESTION)
        self._waits = False
        self.asked += 1
        self.answered += why is None
        stands = "answers" if why is None else "is silent"
        if stands != self.stands:
            self.stands = stands
            say(f"model {stands}", **({"why": why} if why else {}))

    async def _must(self, method: str, path: str, body: bytes | dict[str, Any]) -> None:
        if why := await self._reaches(method, path, body):
            raise ScenarioError(f"Ollama, {method} {path}: {why}; journalctl -u holdfast-ollama tells more")

    async def _reaches(
        self, method: str, path: str, body: bytes | dict[str, Any] | None = None
    ) -> str | None:
        """Ask once; returns why there was no answer, or None."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        asked = urllib.request.Request(f"{self._url}{path}", data, method=method)  # noqa: S310 - always http
        return await asyncio.to_thread(_why_not, asked, self._patience_s)


def _why_not(asked: urllib.request.Request, patience_s: float) -> str | None:
    try:
        with urllib.request.urlopen(asked, timeout=patience_s) as answer:  # noqa: S310 - always http
            answer.read()
    except urllib.error.HTTPError as error:
        return f"{error.code} {error.read().decode(errors='replace').strip()}"
    except TimeoutError:
        return f"no answer in {patience_s:g} s"
    except OSError as error:
        return str(getattr(error, "reason", error))
    return None
