"""Tasks: taken from the work queue, journalled before they are acknowledged, run, and answered exactly once.

A message may come twice (a lost acknowledgement, a sender that repeats itself): the id is known, the first one
stands. A worker may die at any point: what it had acknowledged is in the store and runs again; its result is stored
together with the end of the task and published until the stream confirms it, under the task's id, which the stream
takes once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import nats.errors
import nats.js.errors
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, Header

from holdfast.config import RobotConfig
from holdfast.errors import HoldfastError, RejectedError, StoreError
from holdfast.store import ResultRecord, StoreThread, TaskRecord, now
from holdfast.worker.bus import Bus, FleetLink
from holdfast.worker.deploy import Deployer
from holdfast.worker.messages import DeployRequest, MessageError, TaskMessage, parse

_log = logging.getLogger("tasks")
T = TypeVar("T")

_BATCH = 10
_FETCH_S = 5.0
_RETRY_S = 1.0
_ACK_WAIT_S = 30.0
_NAK_DELAY_S = 5.0
_MAX_ATTEMPTS = 3


class Tasks:
    """The task queue of one robot."""

    def __init__(
        self,
        config: RobotConfig,
        store: StoreThread,
        bus: Bus,
        link: FleetLink,
        deployer: Deployer,
        status: Callable[[], Awaitable[dict[str, Any]]],
    ) -> None:
        self._config = config
        self._store = store
        self._bus = bus
        self._link = link
        self._deployer = deployer
        self._status = status
        self._wake = asyncio.Event()
        self._results = asyncio.Event()
        self._confirmed_head = False

    # --- taking in -----------------------------------------------------------------------------------------------

    async def take_in(self) -> None:
        """Move messages from the stream to the store until cancelled."""
        while True:
            await self._bus.streams_ready.wait()
            try:
                await self._consume()
            except (nats.errors.Error, nats.js.errors.Error, TimeoutError) as error:
                _log.info("task queue: %s; trying again", error or "no answer")
                self._bus.look_again()
            await asyncio.sleep(_RETRY_S)

    async def _consume(self) -> None:
        connection = self._bus.connections
        subscription = await self._bus.jetstream.pull_subscribe(
            f"holdfast.{self._config.robot.id}.task",
            durable="worker",
            stream="TASKS",
            config=ConsumerConfig(ack_policy=AckPolicy.EXPLICIT, ack_wait=_ACK_WAIT_S, max_ack_pending=64),
        )
        while connection == self._bus.connections:
            try:
                messages = await subscription.fetch(_BATCH, timeout=_FETCH_S)
            except TimeoutError:
                await subscription.consumer_info()  # raises when the stream is gone
                continue
            for message in messages:
                await self._accept(message)

    async def _accept(self, message: Msg) -> None:
        try:
            task = parse(TaskMessage, message.data)
            task.parsed_args()
            added = await self._store(
                self._store.store.add_task,
                task.id,
                task.kind,
                task.model_dump(),
                requires_fleet="fleet" in task.requires,
            )
            if not added:
                await self._store(self._store.store.count, "tasks_duplicate")
        except MessageError as error:
            _log.warning("a task was refused: %s", error)
            await message.term()  # it would be as wrong the next time
            await self._store(self._store.store.count, "tasks_refused")
            return
        except StoreError as error:
            _log.error("a task could not be journalled and stays in the queue: %s", error)
            await message.nak(delay=_NAK_DELAY_S)
            return
        await message.ack()
        self._wake.set()

    # --- running -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run queued tasks, at most `[worker] max_tasks` at once, until cancelled."""
        again = await self._until_stored(self._store.store.requeue_interrupted_tasks)
        if again:
            _log.warning("%d interrupted task(s) run again", again)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._config.worker.max_tasks):
                group.create_task(self._run_one_after_the_other())

    async def _run_one_after_the_other(self) -> None:
        while True:
            task = await self._until_stored(self._store.store.take_task, fleet_link=self._link.up)
            if task is not None:
                await self._run_to_its_end(task)
                continue
            self._wake.clear()
            try:
                async with asyncio.timeout(_RETRY_S):
                    await self._wake.wait()
            except TimeoutError:
                pass  # the link may be up by now

    async def _run_to_its_end(self, task: TaskRecord) -> None:
        try:
            result = await self._result_of(task)
        except StoreError as error:
            _log.error("task %s is run again: %s", task.id, error)
            await self._until_stored(self._store.store.put_back_task, task.id)
            await asyncio.sleep(_RETRY_S)
            return
        await self._until_stored(self._store.store.finish_task, task.id, result)
        self._results.set()

    async def _until_stored(self, method: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Call a method of the store until the disk takes it.

        A task that was done and is not known to be would be done again at the next start, after newer ones.
        """
        complaint = ""
        while True:
            try:
                return await self._store(method, *arguments, **named)
            except StoreError as error:
                if str(error) != complaint:
                    complaint = str(error)
                    _log.error("%s; trying again", complaint)
            await asyncio.sleep(_RETRY_S)

    async def _result_of(self, task: TaskRecord) -> dict[str, Any]:
        outcome: dict[str, Any]
        if task.attempts > _MAX_ATTEMPTS:
            outcome = {"ok": False, "error": f"given up: the worker ended {_MAX_ATTEMPTS} times while it ran"}
        else:
            try:
                outcome = {"ok": True, "result": await self._do(task)}
            except RejectedError as error:
                outcome = {"ok": False, "error": str(error), "report": error.report}
            except StoreError:
                raise
            except HoldfastError as error:
                outcome = {"ok": False, "error": str(error)}
        return {
            "id": task.id,
            "kind": task.kind,
            "robot": self._config.robot.id,
            "finished": now(),
            **outcome,
        }

    async def _do(self, task: TaskRecord) -> dict[str, Any]:
        arguments = TaskMessage.model_validate(task.payload).parsed_args()
        if isinstance(arguments, DeployRequest):
            return await self._deployer.deploy(
                arguments.name, arguments.version, arguments.source(), f"task {task.id}"
            )
        return await self._status()

    # --- results -------------------------------------------------------------------------------------------------

    async def publish_results(self) -> None:
        """Publish stored results in order until cancelled."""
        while True:
            await self._bus.streams_ready.wait()
            try:
                while (result := await self._store(self._store.store.unpublished_result)) is not None:
                    await self._publish(result)
            except (nats.errors.Error, nats.js.errors.Error, TimeoutError, StoreError) as error:
                _log.warning("a result is not published yet: %s; trying again", error or "no answer")
                self._confirmed_head = False
                await asyncio.sleep(_RETRY_S)
            self._results.clear()
            try:
                async with asyncio.timeout(_RETRY_S):
                    await self._results.wait()
            except TimeoutError:
                pass  # the broker may be back by now

    async def _publish(self, result: ResultRecord) -> None:
        if not self._confirmed_head and await self._is_last_in_stream(result):
            await self._store(self._store.store.mark_result_published, result.task)
            self._confirmed_head = True
            return
        self._confirmed_head = True
        await self._bus.jetstream.publish(
            f"holdfast.{self._config.robot.id}.result",
            result.payload,
            # No expected stream: that header would travel along, and the hub's stream has another name.
            headers={Header.MSG_ID.value: result.task},
        )
        await self._store(self._store.store.mark_result_published, result.task)

    async def _is_last_in_stream(self, result: ResultRecord) -> bool:
        """Results go out one by one, so only the newest in the stream can be one that was not marked in time.

        The stream's own memory of ids ends after an hour; a robot may lie switched off for longer than that.
        """
        try:
            last = await self._bus.jetstream.get_last_msg(
                "RESULTS", f"holdfast.{self._config.robot.id}.result"
            )
        except nats.js.errors.NotFoundError:
            return False
        return (last.headers or {}).get(Header.MSG_ID.value) == result.task
