"""Requests over NATS: deploy, status, estop, unload, pause, input. There is no arm, resume or reset over a network."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nats.errors
from nats.aio.msg import Msg

from holdfast.daemons import CoreClient, SafetyClient
from holdfast.errors import HoldfastError, RejectedError
from holdfast.worker.bus import Bus
from holdfast.worker.deploy import Deployer
from holdfast.worker.inputs import Inputs
from holdfast.worker.messages import DeployRequest, EmptyRequest, EstopRequest, MessageError, parse

_log = logging.getLogger("requests")

Answer = Callable[[bytes], Awaitable[dict[str, Any]]]


class Requests:
    """Answers on `holdfast.<robot>.*`; each request runs in a task of its own, so that none delays an e-stop."""

    def __init__(
        self,
        robot: str,
        bus: Bus,
        deployer: Deployer,
        status: Callable[[], Awaitable[dict[str, Any]]],
        run_directory: Path,
    ) -> None:
        self._bus = bus
        self._deployer = deployer
        self._status = status
        self._run_directory = run_directory
        self._running: set[asyncio.Task[None]] = set()
        self.refused = 0
        """Requests that were refused or failed since this worker started."""
        for verb, answer in (
            ("deploy", self._deploy),
            ("status", self._report),
            ("estop", self._estop),
            ("unload", self._unload),
            ("pause", self._pause),
            ("input", Inputs(run_directory).answer),
        ):
            bus.handle(f"holdfast.{robot}.{verb}", self._handler(answer))

    def _handler(self, answer: Answer) -> Callable[[Msg], Awaitable[None]]:
        async def handle(message: Msg) -> None:
            task = asyncio.create_task(self._respond(message, answer))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

        return handle

    async def _respond(self, message: Msg, answer: Answer) -> None:
        try:
            reply = {"ok": True, **await answer(message.data)}
        except RejectedError as error:
            reply = {**error.report, "ok": False, "error": str(error)}
        except HoldfastError as error:
            reply = {"ok": False, "error": str(error)}
        except Exception as error:  # a sender must get an answer, and the worker must go on
            _log.exception("a request on %s failed", message.subject)
            reply = {
                "ok": False,
                "error": f"the worker failed ({type(error).__name__}); its journal has the details",
            }
        if not reply["ok"]:
            self.refused += 1
            _log.warning("%s: %s", message.subject, reply["error"])
        if message.reply:
            try:
                await message.respond(json.dumps(reply).encode())
            except nats.errors.Error as error:
                _log.warning("%s: the answer could not be sent: %s", message.subject, error)

    async def _deploy(self, data: bytes) -> dict[str, Any]:
        request = parse(DeployRequest, data)
        source = request.source()
        if self._deployer.in_progress is not None:
            # Waiting could load a controller long after its sender has given up.
            raise RejectedError(
                {
                    "stage": "busy",
                    "error": f"another deployment ({self._deployer.in_progress}) is under way; try again in a moment",
                }
            )
        return await self._deployer.deploy(request.name, request.version, source, "nats")

    async def _report(self, data: bytes) -> dict[str, Any]:
        parse(EmptyRequest, data)
        return await self._status()

    async def _estop(self, data: bytes) -> dict[str, Any]:
        try:
            reason = parse(EstopRequest, data).reason or "requested over NATS"
        except MessageError as error:
            # Somebody wants a stop and cannot say why: that is a stop.
            reason = f"requested over NATS ({str(error)[:200]})"
        async with await SafetyClient.connect(self._run_directory) as safety:
            return {"latch_sequence": await safety.estop(reason)}

    async def _pause(self, data: bytes) -> dict[str, Any]:
        parse(EmptyRequest, data)
        async with await CoreClient.connect(self._run_directory) as core:
            await core.pause()
        return {}

    async def _unload(self, data: bytes) -> dict[str, Any]:
        parse(EmptyRequest, data)
        await self._deployer.unload("nats")
        return {}
