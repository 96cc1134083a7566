"""What a robot says of itself: state at 10 Hz and a heartbeat at 1 Hz to whoever listens, telemetry to keep.

Telemetry has a sequence number that only rises, over restarts and power cuts too. The stream drops its oldest
messages when the buffer is full; how many is counted.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import nats.errors
import nats.js.errors

from holdfast import __version__
from holdfast.config import RobotConfig
from holdfast.errors import HoldfastError
from holdfast.layout import Layout
from holdfast.status import channel_values, loop_statistics
from holdfast.store import StoreThread, now
from holdfast.worker.bus import Bus
from holdfast.worker.core_watch import SAMPLE_HZ, CoreWatch

_log = logging.getLogger("telemetry")

_SEQUENCE_BLOCK = 1000
_PUBLISH_S = 5.0
_RESERVED = "telemetry_sequence_reserved"


class Telemetry:
    """The publishing side of a worker."""

    def __init__(
        self, config: RobotConfig, layout: Layout, store: StoreThread, bus: Bus, core: CoreWatch
    ) -> None:
        self._config = config
        self._layout = layout
        self._store = store
        self._bus = bus
        self._core = core
        self._prefix = f"holdfast.{config.robot.id}"
        self._reserved = 0
        self.sequence = 0
        """Of the last message that was recorded."""
        self.discarded = 0
        """Messages that the full buffer dropped, oldest first."""
        self.unpublished = 0
        """Messages that could not be recorded since this worker started, because the broker was away."""

    async def publish_state(self) -> None:
        """Publish the newest sample ten times a second until cancelled."""
        async for _ in _ticks(1 / SAMPLE_HZ):
            sample = self._core.sample
            if sample is not None and self._bus.connected:
                await self._bus.publish(f"{self._prefix}.state", self._state())

    async def publish_heartbeat(self) -> None:
        """Publish a sign of life once a second until cancelled."""
        async for _ in _ticks(1.0):
            await self._bus.publish(f"{self._prefix}.heartbeat", self.summary())

    async def register(self) -> None:
        """Say hello to the fleet: after each connect, and when the link to the fleet comes up."""
        config = self._config
        await self._bus.publish(
            "holdfast.fleet.register",
            {
                "robot": config.robot.id,
                "model": config.robot.model,
                "holdfast": __version__,
                "time": now(),
                "channels": {"commands": config.command_names, "states": config.state_names},
                "tasks": ["deploy", "status_report"],
                "telemetry_sequence": self.sequence,
            },
        )

    async def record(self) -> None:
        """Record telemetry at `[telemetry] rate_hz` until cancelled."""
        await self._bus.streams_ready.wait()
        await self._find_sequence()
        async for _ in _ticks(1 / self._config.telemetry.rate_hz):
            try:
                await self._record_one()
            except (nats.errors.Error, nats.js.errors.Error, TimeoutError, HoldfastError) as error:
                self.unpublished += 1
                _log.info("telemetry not recorded: %s", error or "no answer")

    async def _record_one(self) -> None:
        sequence = self.sequence + 1
        if sequence >= self._reserved:
            # Reserved in blocks: a write to the disk each second would wear it out.
            await self._store(self._store.store.remember, _RESERVED, str(sequence + _SEQUENCE_BLOCK))
            self._reserved = sequence + _SEQUENCE_BLOCK
        body = {"seq": sequence, **self.summary(), **self._loop()}
        # Given up or not, the number is spent: the broker may have taken the message although no answer came.
        self.sequence = sequence
        await self._bus.jetstream.publish(
            f"{self._prefix}.telemetry", json.dumps(body).encode(), timeout=_PUBLISH_S
        )
        if sequence % 10 == 0:
            stream = (await self._bus.jetstream.stream_info("TELEMETRY")).state
            self.discarded = max(0, int(stream.first_seq or 1) - 1)

    async def _find_sequence(self) -> None:
        """Go on after the last recorded message, or, if the stream was lost, after all that may be used."""
        reserved = int(await self._store(self._store.store.fact, _RESERVED) or 0)
        try:
            last = await self._bus.jetstream.get_last_msg("TELEMETRY", f"{self._prefix}.telemetry")
            recorded = int(json.loads(last.data or b"")["seq"])
        except (nats.errors.Error, nats.js.errors.Error, TimeoutError, ValueError, KeyError, TypeError):
            recorded = -1
        lost = recorded < reserved - _SEQUENCE_BLOCK - 1
        self.sequence = max(self.sequence, reserved if lost else recorded, 0)
        self._reserved = reserved

    def summary(self) -> dict[str, Any]:
        """Return the short account that heartbeat and telemetry share."""
        status = self._core.status or {}
        controller = status.get("controller") or {}
        return {
            "robot": self._config.robot.id,
            "time": now(),
            "boot_id": status.get("boot_id"),
            "mode": status.get("mode"),
            "controller": {key: controller.get(key) for key in ("state", "name", "sha256", "tick")}
            if controller
            else None,
        }

    def _loop(self) -> dict[str, Any]:
        if self._core.reader is None:
            return {}
        channels = {"commands": self._config.command_names, "states": self._config.state_names}
        return {
            "loop": loop_statistics(self._core.reader, self._layout),
            **channel_values(self._core.reader.read(), channels),
        }

    def _state(self) -> dict[str, Any]:
        sample = self._core.sample
        if sample is None:
            return {}
        enums = self._layout.enums
        channels = {"commands": self._config.command_names, "states": self._config.state_names}
        return {
            "robot": self._config.robot.id,
            "time": now(),
            "cycle": int(sample["cycle"]),
            "mode": enums["Mode"].get(int(sample["mode"]), "unknown"),
            "controller_state": enums["ControllerState"].get(int(sample["controller_state"]), "unknown"),
            "controller_tick": int(sample["controller_tick"]),
            "moving": bool(sample["moving"]),
            **channel_values(sample, channels),
        }


async def _ticks(period_s: float) -> Any:
    """Yield at a steady rate; periods that passed meanwhile are skipped."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        yield
        due = max(due + period_s, loop.time())
        await asyncio.sleep(due - loop.time())
