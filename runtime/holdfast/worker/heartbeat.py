"""The worker's sign of life to the safety daemon, on an asyncio task of its own that does nothing else.

When it stops coming for `[safety] worker_timeout_ms`, the safety daemon latches an e-stop. So this task must not
wait for anything but the daemon's answer, and the event loop must never block: the disk has its own thread.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from holdfast.daemons import SafetyClient
from holdfast.errors import HoldfastError

_log = logging.getLogger("heartbeat")
_RETRY_S = 0.2


class Heartbeat:
    """Attaches to the safety daemon as the worker and keeps the promise; re-attaches for ever."""

    def __init__(self, run_directory: Path, interval_s: float) -> None:
        self._run_directory = run_directory
        self._interval_s = interval_s
        self._client: SafetyClient | None = None
        self.attached = False
        self.losses = 0

    async def run(self) -> None:
        """Beat until cancelled."""
        complaint = ""
        while True:
            try:
                self._client = await SafetyClient.connect(self._run_directory)
                await self._client.attach_worker()
                self.attached, complaint = True, ""
                _log.info("attached to the safety daemon")
                await self._beat(self._client)
            except HoldfastError as error:
                if self.attached:
                    self.losses += 1
                if str(error) != complaint:
                    complaint = str(error)
                    _log.warning("%s; trying again", complaint)
            finally:
                self.attached = False
            self._client.close() if self._client else None
            await asyncio.sleep(_RETRY_S)

    async def _beat(self, client: SafetyClient) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await client.heartbeat()
            due = max(due + self._interval_s, loop.time())
            await asyncio.sleep(due - loop.time())

    async def detach(self) -> None:
        """End in good order: without this the safety daemon takes the end of the worker for its loss."""
        if self._client is None:
            return
        try:
            await self._client.detach()
        except HoldfastError as error:
            _log.warning("not detached from the safety daemon: %s", error)
        finally:
            self._client.close()
