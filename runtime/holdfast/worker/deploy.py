"""Deploy: compile → link → verify → stage → activate → watch, one controller at a time, every step journalled.

A candidate that fails anywhere leaves the active controller running. The core holds the truth about what runs now;
the store holds what shall run after a restart. They are reconciled whenever the worker meets a core.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

from holdfast.daemons import CoreClient, SafetyClient
from holdfast.errors import HoldfastError, RefusedError, RejectedError, StoreError, UnreachableError
from holdfast.store import ControllerRecord, StoreThread
from holdfast.worker.recorder import Recorder
from holdfast.worker.trial import Trials
from holdfast.worker.verify import Verifier, VerifyClient

_log = logging.getLogger("deploy")

FINAL_STEPS = frozenset(
    {"active", "rejected", "failed", "interrupted", "unloaded", "restored", "faulted", "good", "rolled_back"}
)
_CONTROLLER_STOP_CAUSES = ("controller_request", "controller_not_finite")
WANTED = "controller_wanted"
"""Name of the fact whether a controller shall be loaded ("yes") or somebody has unloaded it ("no")."""


class Deployer:
    """Brings controllers into the core and remembers which one belongs there."""

    def __init__(
        self,
        store: StoreThread,
        verifier: Verifier | VerifyClient,
        recorder: Recorder,
        *,
        run_directory: Path,
        state_directory: Path,
    ) -> None:
        self._store = store
        self._verifier = verifier
        self._recorder = recorder
        self._trials = Trials(store, run_directory)
        self._run_directory = run_directory
        self._directory = state_directory / "controllers"
        self._turn = asyncio.Lock()
        # Whether the core of now ever had a controller: if not, nobody has unloaded one.
        self._was_loaded = False
        self.in_progress: str | None = None
        """Name of the controller that is being deployed, if any."""

    async def prepare(self) -> None:
        """Clear away what a killed worker left behind and close its journal entries."""
        self._directory.mkdir(parents=True, exist_ok=True)
        await self._sweep()
        for leftover in self._directory.glob("staging-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        for leftover in self._directory.glob(".*.cwasm.*.tmp"):
            leftover.unlink(missing_ok=True)
        for entry in await self._store(self._store.store.unfinished_deployments, FINAL_STEPS):
            _log.warning("the deployment of %s was interrupted at %s", entry["sha256"], entry["step"])
            await self._store(
                self._store.store.journal,
                entry["deployment"],
                entry["sha256"],
                entry["origin"],
                "interrupted",
                f"the worker ended after {entry['step']}",
            )

    async def deploy(self, name: str, version: str, source: bytes, origin: str) -> dict[str, Any]:
        """Verify and activate a controller (WAT or WASM); waits while another deployment is under way.

        Returns `{"sha256": ..., "verify": report, "trial": outcome}` once the core has it and the store remembers it.
        While the robot is armed the core tries it beside the active one first; otherwise `trial` is None. `origin`
        says in the journal who asked.

        Raises:
            RejectedError: it did not pass; the report is meant for whoever writes the source.
            RefusedError, UnreachableError, StoreError: the robot could not take it now.
        """
        async with self._exclusively(name):
            sha256 = hashlib.sha256(source).hexdigest()
            deployment = uuid.uuid4().hex
            await self._journal(
                deployment, sha256, origin, "received", f"{name} {version}, {len(source)} bytes"
            )
            try:
                done = await self._verify_and_activate(deployment, sha256, name, version, source, origin)
            except RejectedError as error:
                _log.warning("%s was rejected at %s: %s", name, error.stage, error)
                await self._journal(deployment, sha256, origin, "rejected", f"{error.stage}: {error}")
                raise
            except StoreError:
                raise
            except (HoldfastError, OSError) as error:
                await self._journal(deployment, sha256, origin, "failed", str(error))
                if isinstance(error, OSError):
                    raise StoreError(f"{self._directory}: {error.strerror or error}") from error
                raise
            _log.info("%s (%s) is active", name, sha256[:12])
            return {"sha256": sha256, **done}

    async def _verify_and_activate(
        self, deployment: str, sha256: str, name: str, version: str, source: bytes, origin: str
    ) -> dict[str, Any]:
        """Return the report of the verification and what became of the trial."""
        cwasm, report = await self._verify(sha256, source)
        await self._store(
            self._store.store.stage_controller,
            sha256=sha256,
            name=name,
            version=version,
            source=source,
            cwasm=cwasm,
        )
        await self._journal(deployment, sha256, origin, "staged")
        async with await CoreClient.connect(self._run_directory, timeout_s=10.0) as core:
            await self._trials.tell_last_known_good(core, besides=sha256)
            try:
                loaded = await core.load(cwasm, name=name, version=version, sha256=sha256)
            except RefusedError as error:
                raise RejectedError({"ok": False, "stage": "activate", "error": str(error)}) from error
            trial = await self._trials.follow(core, loaded, deployment, sha256, origin)
        await self._remember_active(sha256)
        await self._journal(deployment, sha256, origin, "active")
        await self._sweep()
        return {"verify": report, "trial": trial}

    async def _sweep(self) -> None:
        """Remove the files of controllers that the store no longer remembers."""
        known = await self._store(self._store.store.controller_digests)
        await asyncio.to_thread(_remove_others, self._directory, known)

    async def _verify(self, sha256: str, source: bytes) -> tuple[Path, dict[str, Any]]:
        """Return the compiled file, whole and on disk, and the report."""
        staging = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="staging-", dir=self._directory))
        try:
            source_file, trace_file = staging / "source", None
            await asyncio.to_thread(source_file.write_bytes, source)
            if trace := self._recorder.trace():
                trace_file = staging / "trace"
                await asyncio.to_thread(
                    trace_file.write_text, json.dumps({"states": trace}), encoding="utf-8"
                )
            cwasm = self._directory / f"{sha256}.cwasm"
            return cwasm, await self._verifier.verify(source_file, cwasm, trace_file)
        finally:
            await asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True)

    async def unload(self, origin: str = "worker") -> None:
        """Stop the active controller in a controlled way and forget that it should run.

        Raises:
            RefusedError, UnreachableError: the core did not.
        """
        async with self._exclusively("unload"):
            async with await CoreClient.connect(self._run_directory, timeout_s=10.0) as core:
                await core.unload()
            active = await self._store(self._store.store.active_controller)
            await self._forget_active()
            await self._journal(uuid.uuid4().hex, active.sha256 if active else "", origin, "unloaded")

    async def reconcile(self, status: dict[str, Any], *, first_meeting: bool) -> bool:
        """Make core and store agree: restore after a restart of the core, else learn what the core has.

        False, and nothing is done, while a deployment is under way: if that one fails, a new core is still to be met.
        """
        if self._turn.locked():
            return False
        async with self._exclusively(None):
            if first_meeting:
                self._was_loaded = False
            loaded = status.get("controller")
            active = await self._store(self._store.store.active_controller)
            if first_meeting:
                async with await CoreClient.connect(self._run_directory) as core:
                    await self._trials.tell_last_known_good(core)
                if candidate := status["lifecycle"]["candidate"]:
                    _log.warning(
                        "%s is still on trial, but its deployment is over; it is ended", candidate["name"]
                    )
                    await self._trials.end(int(candidate["generation"]))
            if loaded is None and first_meeting:
                await self._restore()
            elif loaded is None and active is not None and self._was_loaded:
                _log.warning("%s was unloaded by somebody else", active.name)
                await self._forget_active()
                await self._journal(uuid.uuid4().hex, active.sha256, "control.sock", "unloaded")
            elif loaded is not None:
                self._was_loaded = True
                if loaded["state"] != "faulted":
                    await self._adopt(loaded["sha256"], active)
        return True

    async def _adopt(self, sha256: str, active: ControllerRecord | None) -> None:
        """The core has another controller than the store remembers: a worker was killed between the two."""
        if active is not None and active.sha256 == sha256:
            return
        if await self._store(self._store.store.controller, sha256) is None:
            if await self._store(self._store.store.fact, "foreign_controller") != sha256:
                _log.warning(
                    "the core runs %s, which this worker never verified; it will not be restored", sha256
                )
                await self._store(self._store.store.remember, "foreign_controller", sha256)
            return
        await self._remember_active(sha256)
        await self._journal(uuid.uuid4().hex, sha256, "control.sock", "active", "found in the core")

    async def _restore(self) -> None:
        """Load what ran before a restart; nothing moves until somebody arms."""
        for candidate in await self._restore_candidates():
            deployment = uuid.uuid4().hex
            try:
                await self._load_again(candidate)
            except (RejectedError, RefusedError) as error:
                _log.error("%s could not be restored: %s", candidate.name, error)
                await self._journal(deployment, candidate.sha256, "restart", "failed", str(error))
                continue
            await self._remember_active(candidate.sha256)
            await self._journal(deployment, candidate.sha256, "restart", "restored")
            _log.info(
                "%s (%s) is loaded again; it moves when somebody arms", candidate.name, candidate.sha256[:12]
            )
            return

    async def _restore_candidates(self) -> list[ControllerRecord]:
        """Return the active controller unless it is to blame for a stop, then the last known good one."""
        active = await self._store(self._store.store.active_controller)
        wanted = active is not None or await self._store(self._store.store.fact, WANTED) == "yes"
        if active is not None and await self._latched_by(active):
            await self._store(
                self._store.store.mark_controller_faulted, active.sha256, "the latched stop was caused by it"
            )
            active = None
        besides = active.sha256 if active else ""
        good = await self._store(self._store.store.last_known_good, besides) if wanted else None
        return [candidate for candidate in (active, good) if candidate is not None]

    async def _latched_by(self, active: ControllerRecord) -> bool:
        """A stop that outlived a power cut may be this controller's doing, though nobody saw the fault."""
        try:
            async with await SafetyClient.connect(self._run_directory) as safety:
                status = await safety.status()
        except UnreachableError:
            return False
        return (
            bool(status.get("latched"))
            and status.get("cause") in _CONTROLLER_STOP_CAUSES
            and _later(str(status.get("since", "")), active.changed)
        )

    async def _load_again(self, record: ControllerRecord) -> None:
        """Load the staged file; if this core cannot read it (another version of it), verify the source again."""
        async with await CoreClient.connect(self._run_directory, timeout_s=10.0) as core:
            if await asyncio.to_thread(record.cwasm.exists):
                try:
                    await core.load(
                        record.cwasm, name=record.name, version=record.version, sha256=record.sha256
                    )
                    return
                except RefusedError as error:
                    _log.warning("%s: %s; verifying its source again", record.cwasm.name, error)
            cwasm, _ = await self._verify(record.sha256, record.source)
            await core.load(cwasm, name=record.name, version=record.version, sha256=record.sha256)

    async def note_fault(self, controller: dict[str, Any]) -> None:
        """Journal a fault of the loaded controller: it is never restored by itself again."""
        fault = f"{controller.get('fault', 'unknown')}: {controller.get('message', '')}".strip(": ")
        sha256 = str(controller.get("sha256", ""))
        _log.error(
            "the controller %s failed at tick %s: %s", controller.get("name"), controller.get("tick"), fault
        )
        await self._store(self._store.store.mark_controller_faulted, sha256, fault)
        await self._journal(uuid.uuid4().hex, sha256, "core", "faulted", fault)

    async def note_good(self, sha256: str) -> None:
        """Journal that the active controller ran through its watch in the core."""
        await self._store(self._store.store.mark_controller_good, sha256)
        await self._journal(uuid.uuid4().hex, sha256, "core", "good")
        try:
            async with await CoreClient.connect(self._run_directory) as core:
                await self._trials.tell_last_known_good(core)
        except UnreachableError:
            return  # the next core is told when it is met

    async def note_rollback(self, failed: dict[str, Any]) -> bool:
        """Journal that the core went back to the last known good controller; False: not now, a deployment is under way.

        `failed` is the core's account of the one that failed in its watch (`lifecycle.rolled_back`).
        """
        if self._turn.locked():
            return False
        async with self._exclusively(None):
            good = await self._store(self._store.store.controller, str(failed["to"]))
            if good is None:
                return True
            await self._remember_active(good.sha256)
            detail = f"{failed['name']} ({failed['sha256'][:12]}) failed in its watch: {failed['message']}"
            await self._journal(uuid.uuid4().hex, good.sha256, "core", "rolled_back", detail)
            _log.warning("%s is active again: %s", good.name, detail)
        return True

    async def _remember_active(self, sha256: str) -> None:
        self._was_loaded = True
        await self._store(self._store.store.activate_controller, sha256)
        await self._store(self._store.store.remember, WANTED, "yes")

    async def _forget_active(self) -> None:
        await self._store(self._store.store.deactivate_controllers)
        await self._store(self._store.store.remember, WANTED, "no")

    async def _journal(self, deployment: str, sha256: str, origin: str, step: str, detail: str = "") -> None:
        await self._store(self._store.store.journal, deployment, sha256, origin, step, detail)

    @contextlib.asynccontextmanager
    async def _exclusively(self, name: str | None) -> AsyncIterator[None]:
        """Take the turn; `name` is what people are told meanwhile, None for housekeeping: requests wait for that."""
        async with self._turn:
            self.in_progress = name
            try:
                yield
            finally:
                self.in_progress = None


def _later(time: str, reference: str) -> bool:
    """Compare two times in ISO 8601; one that cannot be read is taken for later, which blames the controller."""
    try:
        return datetime.fromisoformat(time) >= datetime.fromisoformat(reference)
    except (ValueError, TypeError):
        return True


def _remove_others(directory: Path, known: set[str]) -> None:
    for file in directory.glob("*.cwasm"):
        if file.stem not in known:
            file.unlink(missing_ok=True)
