"""The worker as a whole: which parts there are, and how they start, go on after a fault, and stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from holdfast import __version__
from holdfast.config import RobotConfig
from holdfast.errors import HoldfastError
from holdfast.layout import Layout
from holdfast.status import collect
from holdfast.store import StoreThread
from holdfast.worker.bus import Bus, FleetLink
from holdfast.worker.core_watch import CoreWatch
from holdfast.worker.deploy import Deployer
from holdfast.worker.heartbeat import Heartbeat
from holdfast.worker.notify import feed_watchdog, notify
from holdfast.worker.recorder import Recorder
from holdfast.worker.requests import Requests
from holdfast.worker.tasks import Tasks
from holdfast.worker.telemetry import Telemetry
from holdfast.worker.verify import verifier_for

_log = logging.getLogger("worker")

_RESTART_S = 1.0


class Service:
    """One robot's worker."""

    def __init__(
        self,
        config: RobotConfig,
        layout: Layout,
        store: StoreThread,
        *,
        config_file: Path,
        run_directory: Path,
        state_directory: Path,
    ) -> None:
        self._config = config
        self._layout = layout
        self._store = store
        self._run_directory = run_directory
        recorder = Recorder()
        self._deployer = Deployer(
            store,
            verifier_for(config_file, run_directory),
            recorder,
            run_directory=run_directory,
            state_directory=state_directory,
        )
        self._core = CoreWatch(run_directory, layout, store, self._deployer, recorder)
        self._heartbeat = Heartbeat(run_directory, config.worker.heartbeat_ms / 1000)
        self._bus = Bus(config)
        self._telemetry = Telemetry(config, layout, store, self._bus, self._core)
        self._link = FleetLink(config.worker.nats_monitor_url, self._telemetry.register)
        self._tasks = Tasks(config, store, self._bus, self._link, self._deployer, self.status)
        self._requests = Requests(config.robot.id, self._bus, self._deployer, self.status, run_directory)
        self._restarts = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then leave in good order: detached from the safety daemon."""
        await self._deployer.prepare()
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "core": self._core.run,
            "bus": self._bus.run,
            "register": self._register,
            "link": self._link.run,
            "tasks in": self._tasks.take_in,
            "tasks": self._tasks.run,
            "results": self._tasks.publish_results,
            "state": self._telemetry.publish_state,
            "beat": self._telemetry.publish_heartbeat,
            "telemetry": self._telemetry.record,
            "ota": self._follow_updates,
            "watchdog": feed_watchdog,
        }
        running = [
            asyncio.create_task(self._keep_running(name, part), name=name) for name, part in parts.items()
        ]
        heartbeat = asyncio.create_task(
            self._keep_running("heartbeat", self._heartbeat.run), name="heartbeat"
        )
        notify(f"READY=1\nSTATUS=worker of {self._config.robot.id}")
        _log.info("worker of %s runs", self._config.robot.id)
        await stop.wait()
        notify("STOPPING=1")
        # The heartbeat goes last: the others may take a moment, and that moment is no emergency.
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        heartbeat.cancel()
        await asyncio.gather(heartbeat, return_exceptions=True)
        await self._heartbeat.detach()
        await self._bus.close()

    async def status(self) -> dict[str, Any]:
        """Return the merged status: core, safety daemon, worker."""
        status = await collect(self._run_directory, self._layout)
        status["robot"] = self._config.robot.id
        status["worker"] = await self._own_status()
        return status

    async def _own_status(self) -> dict[str, Any]:
        own: dict[str, Any] = {
            "version": __version__,
            "broker": self._bus.connected,
            "fleet_link": self._link.up,
            "jetstream_domain": self._bus.domain,
            "heartbeat": {"attached": self._heartbeat.attached, "losses": self._heartbeat.losses},
            "deploying": self._deployer.in_progress,
            "telemetry": {
                "sequence": self._telemetry.sequence,
                "discarded": self._telemetry.discarded,
                "unpublished": self._telemetry.unpublished,
            },
            "requests_refused": self._requests.refused,
            "part_restarts": self._restarts,
            "damaged_store": str(self._store.store.set_aside) if self._store.store.set_aside else None,
        }
        try:
            own["tasks"] = await self._store(self._store.store.task_counts)
            own["counters"] = await self._store(self._store.store.counters)
        except HoldfastError as error:
            own["store_error"] = str(error)
        return own

    async def _register(self) -> None:
        while True:
            await self._bus.streams_ready.wait()
            connection = self._bus.connections
            await self._telemetry.register()
            while connection == self._bus.connections:
                await asyncio.sleep(_RESTART_S)

    async def _follow_updates(self) -> None:
        """Run the client of over-the-air updates; what a power cut left unproved is settled without a broker."""
        from holdfast_ota.robot import OtaClient  # a part of its own; the worker is complete without it

        await OtaClient(self._config, self._deployer, self._store, self._bus.client).run(
            self._bus.streams_ready
        )

    async def _keep_running(self, name: str, part: Callable[[], Awaitable[None]]) -> None:
        """Run a part; a fault in it is logged and counted and must not take the heartbeat along."""
        while True:
            try:
                await part()
                return
            except Exception:
                self._restarts += 1
                _log.exception("the part '%s' failed and starts again", name)
                await asyncio.sleep(_RESTART_S)
