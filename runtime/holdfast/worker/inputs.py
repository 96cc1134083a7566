"""Inputs of an operator over NATS: `holdfast.<robot>.input` {"values": {name: number}, "token": int}.

The clocks of an operator's device and of a robot are not comparable, and a network that stands still may deliver old
wishes in one go. So each answer carries a token, the robot's own time, and each request brings back the last token
that its sender has seen: the wish is younger than the token, and counts as old as that. A first request has no values
and no token; it only fetches one.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from holdfast.daemons import CoreClient
from holdfast.errors import RefusedError, UnreachableError
from holdfast.worker.messages import InputRequest, parse


class Inputs:
    """Answers the verb `input`; keeps one connection to the core."""

    def __init__(self, run_directory: Path) -> None:
        self._run_directory = run_directory
        self._core: CoreClient | None = None
        self._one_at_a_time = asyncio.Lock()

    async def answer(self, data: bytes) -> dict[str, Any]:
        """Hand the values on to the core and return the next token.

        Raises:
            MessageError: the message is malformed.
            RefusedError: there are values without a token, or the core takes none of them.
            UnreachableError: the core does not answer.
        """
        request = parse(InputRequest, data)
        if request.values:
            if request.token is None:
                raise RefusedError(
                    "input: values need the token of an earlier answer; send a request without values first"
                )
            async with self._one_at_a_time:
                await self._hand_on(request.values, request.token)
        return {"token": time.monotonic_ns()}

    async def _hand_on(self, values: dict[str, float], token: int) -> None:
        if self._core is None:
            self._core = await CoreClient.connect(self._run_directory)
        try:
            await self._core.set_inputs(values, token)
        except UnreachableError:
            self._core = None  # the next request finds a core that has started again
            raise
