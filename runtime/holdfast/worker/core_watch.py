"""What the worker knows of the core: samples of the state segment, restarts, faults, controllers that proved good."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Any

import numpy as np

from holdfast.daemons import CoreClient
from holdfast.errors import HoldfastError, StoreError
from holdfast.layout import Layout, SegmentReader
from holdfast.store import StoreThread
from holdfast.worker.deploy import Deployer
from holdfast.worker.recorder import Recorder

_log = logging.getLogger("core")

SAMPLE_HZ = 10
_RETRY_S = 0.5
_FAULT_NOTED = "fault_noted"
_ROLLBACK_NOTED = "rollback_noted"


class CoreWatch:
    """Follows one core after the other; each new one (another boot_id) gets its controller back."""

    def __init__(
        self,
        run_directory: Path,
        layout: Layout,
        store: StoreThread,
        deployer: Deployer,
        recorder: Recorder,
    ) -> None:
        self._run_directory = run_directory
        self._layout = layout
        self._store = store
        self._deployer = deployer
        self._recorder = recorder
        self._boot_id: Any = None
        self._good_noted: tuple[Any, Any] | None = None
        self.reader: SegmentReader | None = None
        self.sample: np.void | None = None
        """The newest sample, None while there is no core."""
        self.status: dict[str, Any] | None = None
        """What the core last said of itself, None while there is none."""

    async def run(self) -> None:
        """Follow until cancelled."""
        complaint = ""
        while True:
            try:
                async with await CoreClient.connect(self._run_directory) as core:
                    with contextlib.closing(await core.segment(self._layout)) as reader:
                        self.reader = reader
                        complaint = ""
                        await self._follow(core, reader)
            except StoreError as error:
                _log.error("%s", error)
            except HoldfastError as error:
                if str(error) != complaint:
                    complaint = str(error)
                    _log.warning("%s; trying again", complaint)
            finally:
                self.reader = self.sample = self.status = None
            await asyncio.sleep(_RETRY_S)

    async def _follow(self, core: CoreClient, reader: SegmentReader) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        samples = 0
        while True:
            self.sample = reader.read()
            received = self.sample["state_mono_ns"] != 0
            known = int(received.sum())
            if known and bool(received[:known].all()):
                self._recorder.add(self.sample["state"][:known])
            if samples % SAMPLE_HZ == 0:
                await self._inspect(await core.status())
            samples += 1
            due = max(due + 1 / SAMPLE_HZ, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _inspect(self, status: dict[str, Any]) -> None:
        self.status = status
        first_meeting = status["boot_id"] != self._boot_id
        controller = status.get("controller")
        if rolled_back := status["lifecycle"]["rolled_back"]:
            await self._note_rollback(status["boot_id"], rolled_back)
        if controller is not None:
            await self._note(status["boot_id"], controller, status["lifecycle"]["watch"])
        if await self._deployer.reconcile(status, first_meeting=first_meeting):
            self._boot_id = status["boot_id"]

    async def _note_fault(self, boot_id: Any, failed: dict[str, Any]) -> None:
        key = f"{boot_id}:{failed['generation']}"
        if await self._store(self._store.store.fact, _FAULT_NOTED) != key:
            await self._deployer.note_fault(failed)
            await self._store(self._store.store.remember, _FAULT_NOTED, key)

    async def _note_rollback(self, boot_id: Any, failed: dict[str, Any]) -> None:
        key = f"{boot_id}:{failed['generation']}"
        if await self._store(self._store.store.fact, _ROLLBACK_NOTED) == key:
            return
        await self._note_fault(boot_id, failed)
        if await self._deployer.note_rollback(failed):
            await self._store(self._store.store.remember, _ROLLBACK_NOTED, key)

    async def _note(self, boot_id: Any, controller: dict[str, Any], watch: dict[str, Any] | None) -> None:
        load = (boot_id, controller.get("generation"))
        if controller["state"] == "faulted":
            await self._note_fault(boot_id, controller)
            return
        # Ticks of a trial prove nothing yet: what counts is the core's watch, which begins after it.
        if watch is None or watch["generation"] != controller["generation"] or watch["ticks"] < watch["of"]:
            return
        if controller["state"] == "running" and self._good_noted != load:
            await self._deployer.note_good(controller["sha256"])
            self._good_noted = load
