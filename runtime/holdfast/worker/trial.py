"""A trial: the core runs a new controller beside the active one (shadow), then near its output (canary).

The core decides; here its account is followed until it says what became of the controller.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from holdfast.daemons import CoreClient
from holdfast.errors import RefusedError, RejectedError, UnreachableError
from holdfast.store import StoreThread

_log = logging.getLogger("deploy")

_POLL_S = 0.1
_STALLED_S = 15.0

Outcome = dict[str, Any]
OnStage = Callable[[str], Awaitable[None]]


class Trials:
    """What the deployer does around a trial: the journal, and what the core goes back to when one fails."""

    def __init__(self, store: StoreThread, run_directory: Path) -> None:
        self._store = store
        self._run_directory = run_directory

    async def follow(
        self, core: CoreClient, loaded: dict[str, Any], deployment: str, sha256: str, origin: str
    ) -> Outcome | None:
        """Wait for the end of the trial that a load began, if it did; what became of each stage is journalled.

        Raises:
            RejectedError: the controller is not active.
        """
        if loaded["stage"] == "active":
            return None
        store = self._store.store

        async def on_stage(stage: str) -> None:
            await self._store(store.journal, deployment, sha256, origin, stage)

        try:
            outcome = await follow_trial(core, int(loaded["generation"]), on_stage)
        except RejectedError as error:
            if "trial" in error.report:
                await self._store(store.record_stage_outcome, deployment, sha256, error.report["trial"])
            raise
        except BaseException:
            # Whoever deployed it is told that it failed: it must not become active afterwards.
            await asyncio.shield(self.end(int(loaded["generation"])))
            raise
        await self._store(store.record_stage_outcome, deployment, sha256, outcome)
        return outcome

    async def end(self, generation: int) -> None:
        """End the trial of a controller whose deployment is over, over a connection of its own, unless it has ended."""
        try:
            async with await CoreClient.connect(self._run_directory, timeout_s=10.0) as core:
                await _withdraw(core, generation)
        except UnreachableError as error:
            _log.error("the trial of generation %s could not be ended: %s", generation, error)

    async def tell_last_known_good(self, core: CoreClient, besides: str = "") -> None:
        """Tell the core what to go back to: it forgets that with each restart, the store never does."""
        good = await self._store(self._store.store.last_known_good, besides)
        if good is None or not await asyncio.to_thread(good.cwasm.exists):
            return
        try:
            await core.remember_good(good.cwasm, name=good.name, version=good.version, sha256=good.sha256)
        except RefusedError as error:
            _log.warning("the core does not take %s as the last known good controller: %s", good.name, error)


async def follow_trial(core: CoreClient, generation: int, on_stage: OnStage) -> Outcome:
    """Return the core's account of a trial that ended in its activation; `on_stage` hears each stage once.

    A trial that makes no progress, because the robot is paused, is withdrawn after a while.

    Raises:
        RejectedError: the controller was rejected (stage "shadow" or "canary"), or the trial ended by nothing that
            it did (stage "activate").
        UnreachableError: the core went away.
    """
    loop = asyncio.get_running_loop()
    told, progress, moved = "", (-1, ""), loop.time()
    while True:
        status = await core.status()
        lifecycle = status["lifecycle"]
        candidate, outcome = lifecycle["candidate"] or {}, lifecycle["outcome"] or {}
        if outcome.get("generation") == generation:
            return _judge(outcome)
        if candidate.get("generation") != generation and outcome.get("generation", 0) > generation:
            raise _not_activated("another controller was loaded while this one was tried; deploy it again")
        if candidate.get("generation") == generation:
            if candidate["stage"] != told:
                told = candidate["stage"]
                await on_stage(told)
            if progress != (candidate["ticks"], told):
                progress, moved = (candidate["ticks"], told), loop.time()
        if loop.time() - moved > _STALLED_S:
            await _withdraw(core, generation)
            raise _not_activated(
                f"its trial made no progress for {_STALLED_S:g} s (the robot is {status['mode']}); deploy it again "
                "while the robot runs, or while it is disarmed: then nothing is tried"
            )
        await asyncio.sleep(_POLL_S)


def _judge(outcome: Outcome) -> Outcome:
    if outcome["result"] == "active":
        return outcome
    if outcome["result"] == "withdrawn":
        raise RejectedError({"ok": False, "stage": "activate", "error": outcome["message"], "trial": outcome})
    report = {key: outcome[key] for key in ("stage", "tick", "channel", "value")}
    raise RejectedError({"ok": False, **report, "error": outcome["message"], "trial": outcome})


def _not_activated(why: str) -> RejectedError:
    return RejectedError({"ok": False, "stage": "activate", "error": f"activate: {why}"})


async def _withdraw(core: CoreClient, generation: int) -> None:
    try:
        await core.withdraw(generation)
    except RefusedError:
        return  # it has ended meanwhile
