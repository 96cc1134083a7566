"""The connection to the robot's own broker: it may come late, go and come back; the worker goes on without it."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import nats
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

from holdfast.config import RobotConfig

_log = logging.getLogger("bus")

Handler = Callable[[Msg], Awaitable[None]]
_RETRY_S = 1
_RESULT_DUPLICATES_S = 3600.0
_MEBIBYTE = 1 << 20


def stream_configs(config: RobotConfig) -> dict[str, StreamConfig]:
    """Return the streams that a robot keeps on its own broker, by name."""
    robot = config.robot.id
    streams = [
        StreamConfig(
            name="TASKS",
            subjects=[f"holdfast.{robot}.task"],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            # A full queue refuses the sender rather than forget a task.
            discard=DiscardPolicy.NEW,
            max_msgs=10_000,
            max_bytes=64 * _MEBIBYTE,
        ),
        StreamConfig(
            name="RESULTS",
            subjects=[f"holdfast.{robot}.result"],
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_bytes=64 * _MEBIBYTE,
            duplicate_window=_RESULT_DUPLICATES_S,
        ),
        StreamConfig(
            name="TELEMETRY",
            subjects=[f"holdfast.{robot}.telemetry"],
            storage=StorageType.FILE,
            discard=DiscardPolicy.OLD,
            max_bytes=config.telemetry.buffer_mb * _MEBIBYTE,
        ),
    ]
    return {str(stream.name): stream for stream in streams}


class Bus:
    """One client of the local broker, connected for ever; its streams are made to exist after every connect."""

    def __init__(self, config: RobotConfig) -> None:
        self._config = config
        self._handlers: dict[str, Handler] = {}
        self._changed = asyncio.Event()
        self._closing = False
        self._complaint = ""
        self.client = Client()
        self.streams_ready = asyncio.Event()
        """Set while connected and the three streams exist."""
        self.domain: str | None = None
        """The broker's JetStream domain; None until its streams exist."""
        self.connections = 0
        """How often a connection was made; tells one from the next."""

    def handle(self, subject: str, handler: Handler) -> None:
        """Answer messages on a subject, from the first connection on."""
        self._handlers[subject] = handler

    @property
    def connected(self) -> bool:
        """True while the broker answers."""
        return bool(self.client.is_connected)

    @property
    def jetstream(self) -> JetStreamContext:
        """The JetStream of the robot's own domain."""
        return self.client.jetstream(timeout=5.0)

    async def run(self) -> None:
        """Connect, reconnect and prepare streams until cancelled."""
        await self.client.connect(
            servers=[self._config.worker.nats_url],
            name=f"holdfast-worker {self._config.robot.id}",
            allow_reconnect=True,
            max_reconnect_attempts=-1,
            reconnect_time_wait=_RETRY_S,
            connect_timeout=2,
            ping_interval=5,
            max_outstanding_pings=2,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnect,
            reconnected_cb=self._on_connect,
        )
        for subject, handler in self._handlers.items():
            await self.client.subscribe(subject, cb=handler)
        await self._on_connect()
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self.connected:
                await self._prepare_streams()

    async def _prepare_streams(self) -> None:
        complaint = ""
        while self.connected:
            try:
                for name, stream in stream_configs(self._config).items():
                    await _ensure(self.jetstream, name, stream)
                self.domain = (await self.jetstream.account_info()).domain
            except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
                if str(error) != complaint:
                    complaint = str(error)
                    _log.warning(
                        "the broker's streams are not ready: %s; trying again", complaint or "no answer"
                    )
                await asyncio.sleep(_RETRY_S)
                continue
            self.streams_ready.set()
            return

    def look_again(self) -> None:
        """Have the streams checked: one of them was found missing."""
        self.streams_ready.clear()
        self._changed.set()

    async def publish(self, subject: str, body: object) -> bool:
        """Publish JSON to whoever listens now; False when there is no connection (nothing is kept)."""
        if not self.connected:
            return False
        try:
            await self.client.publish(subject, json.dumps(body).encode())
        except nats.errors.Error:
            return False
        return True

    async def close(self) -> None:
        """Send what is pending and disconnect."""
        self._closing = True
        try:
            if self.connected:
                await asyncio.wait_for(self.client.flush(), 1.0)
            await self.client.close()
        except (nats.errors.Error, TimeoutError, OSError) as error:
            _log.warning("not disconnected in good order: %s", error)

    async def _on_connect(self) -> None:
        self.connections += 1
        self._complaint = ""
        _log.info("connected to the robot's broker")
        self._changed.set()

    async def _on_disconnect(self) -> None:
        self.streams_ready.clear()
        self.domain = None
        if not self._closing:
            _log.warning("lost the robot's broker; reconnecting")

    async def _on_error(self, error: Exception) -> None:
        complaint = f"{type(error).__name__}: {error}"
        if complaint != self._complaint:  # a broker that is away is one line, not one a second
            self._complaint = complaint
            _log.info("%s", complaint)


async def _ensure(js: JetStreamContext, name: str, config: StreamConfig) -> None:
    # Looked for first: a server reserves the space of a stream that is to be added before it finds that it is there.
    try:
        await js.stream_info(name)
    except nats.js.errors.NotFoundError:
        await js.add_stream(config)
    else:
        await js.update_stream(config)


class FleetLink:
    """Whether the leaf-node link from this robot's broker to the fleet is up, read from its monitoring page."""

    def __init__(self, monitor_url: str, on_up: Callable[[], Awaitable[None]]) -> None:
        address = urlsplit(monitor_url)
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 8222
        self._on_up = on_up
        self.up = False
        self.changed = asyncio.Event()
        """Set when the link comes up; whoever waits for it clears it."""

    async def run(self) -> None:
        """Look once a second until cancelled."""
        while True:
            up = await asyncio.to_thread(self._look)
            if up != self.up:
                self.up = up
                _log.info("the link to the fleet is %s", "up" if up else "down")
                if up:
                    self.changed.set()
                    await self._on_up()
            await asyncio.sleep(_RETRY_S)

    def _look(self) -> bool:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=2.0)
        try:
            connection.request("GET", "/leafz")
            page = json.loads(connection.getresponse().read())
            return int(page["leafnodes"]) > 0
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            return False
        finally:
            connection.close()
