"""The robot's side: follows a controller of the fleet, and goes back by itself if it does not do well.

    resolve (newest version, signatures, expiry) → stage (length, hash, durable) → wait until nothing can move
    → activate (the worker's deployer: 100-tick check in a process of its own, then load) → watch → commit or
    roll back

The worker starts it with `OtaClient(config, deployer, store, nats).run()`. Nothing here arms: an update or a
roll-back changes what runs once a person arms. State that matters is in the journal, so the power may go at
any instant.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from tuf.ngclient.fetcher import FetcherInterface

from holdfast.config import RobotConfig
from holdfast.daemons import CoreClient
from holdfast.errors import HoldfastError, RejectedError
from holdfast.modes import MOVING
from holdfast.places import config_file, run_directory, state_directory
from holdfast.store import ControllerRecord, StoreThread
from holdfast.worker.deploy import WANTED
from holdfast_ota.errors import Reason, RefusalError
from holdfast_ota.fetch import FolderFetcher, ObjectStoreFetcher
from holdfast_ota.health import Health, HealthWindow, Verdict
from holdfast_ota.journal import Attempt, Journal, Previous, State
from holdfast_ota.objects import FLEET_DOMAIN
from holdfast_ota.target import Kind
from holdfast_ota.trust import Offer, TrustedRepository

T = TypeVar("T")

ORIGIN = "ota"
ROLLBACK_ORIGIN = "ota-rollback"
WATCH_PERIOD_S = 0.1
RETRY_S = 1.0
MAX_INTERRUPTIONS = 3
CLOCK_TOLERANCE = timedelta(minutes=10)

_log = logging.getLogger(__name__)


class Deployer(Protocol):
    """What is used of the worker's deployer: compile, link, 100 ticks in a process of their own, load."""

    async def deploy(self, name: str, version: str, source: bytes, origin: str) -> Mapping[str, Any]:
        """Check and load a controller; on failure the running one goes on.

        Raises:
            RejectedError: it did not pass (or, at stage "activate", the core did not take it).
            HoldfastError: the robot could not take it now.
        """

    async def unload(self, origin: str) -> None:
        """Load nothing."""


CoreStatus = Callable[[], Awaitable[Mapping[str, Any]]]


async def core_status() -> Mapping[str, Any]:
    """Ask the core for its status over `control.sock`.

    Raises:
        UnreachableError: it does not answer.
    """
    async with await CoreClient.connect(run_directory()) as core:
        return await core.status()


@dataclass(frozen=True)
class Outcome:
    """What came of a check, or of an update; what is published on `holdfast.<robot>.ota`."""

    ok: bool
    state: str
    target: str
    sentence: str
    reason: str = ""

    def payload(self, robot: str) -> bytes:
        """Return the message for NATS."""
        body = {
            "ok": self.ok,
            "robot": robot,
            "state": self.state,
            "target": self.target,
            "sentence": self.sentence,
        }
        if self.reason:
            body["reason"] = self.reason
        if not self.ok:
            body["error"] = self.sentence
        return json.dumps({**body, "time": datetime.now(UTC).isoformat(timespec="milliseconds")}).encode()


class OtaClient:
    """Keeps one robot's controller up to date."""

    def __init__(
        self,
        config: RobotConfig,
        deployer: Deployer,
        store: StoreThread,
        nats: Client,
        *,
        core: CoreStatus = core_status,
        root_file: Path | None = None,
        directory: Path | None = None,
    ) -> None:
        """Take the worker's parts; `root_file` and `directory` default to the robot's own places."""
        self._config = config
        self._robot = config.robot.id
        self._deployer = deployer
        self._store = store
        self._nats = nats
        self._core = core
        self._root_file = root_file or config_file().parent / "ota" / "root.json"
        self._directory = directory or state_directory() / "ota"
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ota-journal")
        self._journal: Journal | None = None
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self.settled = asyncio.Event()
        """Set once what an earlier process left is settled; nothing new is begun before."""
        self._window: HealthWindow | None = None
        self._last_report: Outcome | None = None

    async def run(self, broker: asyncio.Event | None = None) -> None:
        """Settle what a power cut left, then check at each poll and on request, until cancelled.

        Settling does not wait for the network; the rest begins when `broker` is set (at once without it).
        """
        watching = asyncio.create_task(self._watch_forever(), name="ota-watch")
        try:
            await self._first_of(self.settled.wait(), watching)
            if broker is not None:
                await self._first_of(broker.wait(), watching)
            subscription = await self._nats.subscribe(f"holdfast.{self._robot}.ota.check", cb=self._answer)
            try:
                while not watching.done():
                    await self._report(await self.check())
                    await asyncio.wait([watching], timeout=self._config.ota.poll_s)
            finally:
                with suppress(NatsError):
                    await subscription.unsubscribe()
            await watching
        finally:
            watching.cancel()
            await asyncio.wait([watching])
            self._close()

    @staticmethod
    async def _first_of(awaited: Coroutine[Any, Any, Any], task: asyncio.Task[None]) -> None:
        waiting = asyncio.create_task(awaited)
        try:
            await asyncio.wait([waiting, task], return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    async def check(self) -> Outcome:
        """Look for an update and take it as far as it goes now; no repository makes it raise."""
        async with self._lock:
            subject = f"controller {self._config.ota.controller}"
            try:
                return await self._check()
            except RefusalError as refusal:
                return Outcome(False, "refused", refusal.target, str(refusal), refusal.reason)
            except HoldfastError as error:
                return Outcome(False, "failed", subject, f"{subject}: {error}")
            except Exception as error:  # Whatever a hostile repository provokes must not end the worker.
                _log.exception("the update check failed")
                problem = f"{type(error).__name__}: {error}"
                sentence = f"{subject}: the check failed ({problem}); the worker's log has details"
                return Outcome(False, "failed", subject, sentence)

    # -- one check -------------------------------------------------------------------------------------------

    async def _check(self) -> Outcome:
        name = self._config.ota.controller
        if name is None:
            return Outcome(
                True, "idle", "", "this robot follows no controller: set [ota] controller in robot.toml"
            )
        attempt = await self._do(lambda journal: journal.open_attempt())
        if attempt is not None and attempt.state not in (State.RESOLVED, State.STAGED):
            return self._under_way(attempt)
        await self._check_clock()
        repository, offer = await asyncio.to_thread(self._resolve, name, self._fetcher())
        await self._do(lambda journal: journal.note_time(datetime.now(UTC)))
        for sentence in offer.ignored:
            _log.warning("%s", sentence)
        target = offer.target
        if await self._is_current(offer):
            return Outcome(True, "current", str(target), f"{target} is the newest, and committed")
        if attempt is None or attempt.target != target or attempt.sha256 != offer.sha256:
            attempt = await self._do(lambda journal: journal.begin(target, offer.sha256))
            await self._report(
                Outcome(True, State.RESOLVED, str(target), f"{target} is offered and validly signed")
            )
        source = await asyncio.to_thread(repository.download, offer)
        if attempt.state is State.RESOLVED:
            await self._stage(attempt)
            await self._report(Outcome(True, State.STAGED, str(target), f"{target} is verified and stored"))
        return await self._activate(await self._do(lambda journal: journal.current()), source)

    def _resolve(self, name: str, fetcher: FetcherInterface) -> tuple[TrustedRepository, Offer]:
        repository = TrustedRepository(self._root_file, self._directory, fetcher, self._robot)
        return repository, repository.newest(Kind.CONTROLLER, name)

    def _fetcher(self) -> FetcherInterface:
        if self._config.ota.source != "fleet":
            return FolderFetcher(Path(self._config.ota.source))
        return ObjectStoreFetcher(self._nats.jetstream(domain=FLEET_DOMAIN), asyncio.get_running_loop())

    async def _check_clock(self) -> None:
        """Refuse while the clock is behind a time that has been: it would revive ended signatures."""
        latest = await self._do(lambda journal: journal.latest_time())
        now = datetime.now(UTC)
        if latest is not None and now < latest - CLOCK_TOLERANCE:
            raise RefusalError(
                Reason.CLOCK,
                f"controller {self._config.ota.controller}",
                f"this robot's clock says {now:%Y-%m-%d %H:%M} UTC, but it has been "
                f"{latest:%Y-%m-%d %H:%M} already, "
                "so it cannot tell which signatures have ended",
                "set the clock; the robot then checks by itself",
            )

    async def _is_current(self, offer: Offer) -> bool:
        """Whether the offer is what was committed, and the robot still has it.

        Raises:
            RefusalError: it is older, another content of the same version, or known to be bad.
        """
        target = offer.target
        floor = await self._do(lambda journal: journal.floor(target))
        if floor is not None and target.version < floor[0]:
            raise RefusalError(
                Reason.OLDER,
                str(target),
                f"it is older than {floor[0]}, which this robot has committed",
                f"publish what it should run as a version above {floor[0]}",
            )
        committed = floor is not None and target.version == floor[0]
        if floor is not None and committed and offer.sha256 != floor[1]:
            raise RefusalError(
                Reason.MODIFIED,
                str(target),
                "it has another content than the same version that this robot has committed",
                "publish the new content as a new version",
            )
        why = await self._do(lambda journal: journal.why_bad(target))
        if why is not None:
            raise RefusalError(
                Reason.BAD_VERSION,
                str(target),
                f"it failed on this robot and is not tried again ({why})",
                "publish a corrected controller as a new version",
            )
        return committed and not await self._is_forgotten(offer)

    async def _is_forgotten(self, offer: Offer) -> bool:
        """Whether the worker's database was begun anew since: nobody has unloaded it, but nobody loads it again.

        Once that is noticed, only a new commit ends it: what was begun leaves its own traces in the new database.
        """
        last = next(iter(await self._do(lambda journal: journal.attempts(1))), None)
        if last is not None and last.target == offer.target and last.state is not State.COMMITTED:
            return True
        known = await self._store(self._store.store.controller, offer.sha256)
        return known is None and await self._store(self._store.store.fact, WANTED) is None

    def _under_way(self, attempt: Attempt) -> Outcome:
        share = f"{self._window.share:.0%} of" if self._window else "the beginning of"
        if attempt.state is State.FAILING:
            sentence = f"{attempt.target} failed and is being rolled back: {attempt.reason}"
            return Outcome(False, attempt.state, str(attempt.target), sentence)
        return Outcome(
            True,
            attempt.state,
            str(attempt.target),
            f"{attempt.target} is loaded and watched: {share} its health window of "
            f"{self._config.ota.health_window_s:g} s of running has passed",
        )

    async def _stage(self, attempt: Attempt) -> None:
        """Record that the content is here, and what is to be loaded if the version fails: what runs now."""
        record: ControllerRecord | None = await self._store(self._store.store.active_controller)
        if record is not None and record.sha256 == attempt.sha256 and attempt.state is State.STAGED:
            return  # it was loaded before and the answer got lost: what ran before it is recorded
        if record is None or record.sha256 == attempt.sha256:
            record = await self._store(self._store.store.last_known_good, attempt.sha256)
        previous = Previous(record.name, record.version, record.source) if record else None
        await self._do(lambda journal: journal.stage(attempt.number, previous))

    async def _activate(self, attempt: Attempt, source: bytes) -> Outcome:
        target = attempt.target
        mode = (await self._core()).get("mode")
        if mode in MOVING and self._config.ota.activate == "disarmed":
            sentence = (
                f"{target} is verified and stored; it is loaded when the robot is disarmed (now it is {mode})"
            )
            return Outcome(True, State.STAGED, str(target), sentence)
        await self._stage(attempt)  # it may have waited for days, and another controller runs by now
        try:
            await self._deployer.deploy(target.name, str(target.version), source, ORIGIN)
        except RejectedError as error:
            if error.stage == "activate":
                raise  # The core's answer of this moment; the next poll tries again.
            problem = str(error)
            await self._do(lambda journal: journal.fail(attempt, problem, State.REJECTED, mark_bad=True))
            raise RefusalError(
                Reason.REJECTED,
                str(target),
                f"the robot's own check rejected it, and the running controller goes on ({problem})",
                "publish a corrected controller as a new version",
            ) from error
        await self._do(lambda journal: journal.advance(attempt.number, State.ACTIVATED))
        activated = Outcome(
            True,
            State.ACTIVATED,
            str(target),
            f"{target} passed the robot's check and is loaded; it is watched now",
        )
        await self._report(activated)
        self._wake.set()
        return activated

    # -- after activation ------------------------------------------------------------------------------------

    async def _watch_forever(self) -> None:
        """Settle what an earlier process left, then watch whatever gets activated."""
        await self._insist(self._recover)
        self.settled.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._insist(self._watch)

    async def _insist(self, step: Callable[[], Awaitable[None]]) -> None:
        """Repeat a step until it gets through: a core that is away is no reason to forget a roll-back."""
        told = ""
        while True:
            try:
                return await step()
            except (HoldfastError, OSError) as error:
                if str(error) != told:
                    told = str(error)
                    _log.warning("the update waits: %s", told)
                await asyncio.sleep(RETRY_S)

    async def _recover(self) -> None:
        """Roll back what was activated but never proved itself before this process began."""
        async with self._lock:
            attempt = await self._do(lambda journal: journal.open_attempt())
            if attempt is None or attempt.state is State.RESOLVED:
                return
            if attempt.state is State.STAGED and not await self._was_activated(attempt):
                return
            if attempt.state is not State.FAILING:
                await self._fail_interrupted("the power or the worker went inside its health window")
            await self._roll_back()

    async def _was_activated(self, attempt: Attempt) -> bool:
        """Whether the deployer had got as far as loading when the power went."""
        record: ControllerRecord | None = await self._store(self._store.store.active_controller)
        return record is not None and record.sha256 == attempt.sha256

    async def _watch(self) -> None:
        attempt = await self._do(lambda journal: journal.open_attempt())
        if attempt is None:
            return
        if attempt.state is State.ACTIVATED:
            await self._do(lambda journal: journal.advance(attempt.number, State.WATCHING))
            self._window = self._new_window(attempt)
            await self._report(self._under_way(await self._do(lambda journal: journal.current())))
        if attempt.state is not State.FAILING:
            verdict = await self._verdict(attempt)
            async with self._lock:
                await self._settle(attempt, verdict)
        async with self._lock:
            await self._roll_back()
        self._window = None

    async def _verdict(self, attempt: Attempt) -> Verdict:
        window = self._window or self._new_window(attempt)
        ran = attempt.ran
        while True:
            try:
                verdict = window.observe(await self._core())
            except HoldfastError as error:
                # A core that is away cannot be judged; when it is back its boot_id tells that it restarted.
                _log.info("the core cannot be watched: %s", error)
            else:
                if window.ticks and not ran:
                    ran = True
                    await self._do(lambda journal: journal.note_running(attempt.number))
                if verdict.health is not Health.WATCHING:
                    return verdict
            await asyncio.sleep(WATCH_PERIOD_S)

    def _new_window(self, attempt: Attempt) -> HealthWindow:
        ticks = round(self._config.ota.health_window_s * self._config.control.controller_hz)
        return HealthWindow(attempt.sha256, max(1, ticks))

    async def _settle(self, attempt: Attempt, verdict: Verdict) -> None:
        target = attempt.target
        if verdict.health is Health.HEALTHY:
            await self._do(lambda journal: journal.commit(attempt))
            sentence = f"{target} ran through its health window and is committed"
            await self._report(Outcome(True, State.COMMITTED, str(target), sentence))
        elif verdict.health is Health.REPLACED:
            # A person's choice stands: the next poll must not load this version over it again.
            record: ControllerRecord | None = await self._store(self._store.store.controller, attempt.sha256)
            fault = f" after it failed ({record.fault})" if record and record.fault else ""
            reason = f"{verdict.reason}{fault}"
            await self._do(lambda journal: journal.fail(attempt, reason, State.SUPERSEDED, mark_bad=True))
            sentence = f"{target} is not followed any further: {reason}"
            await self._report(Outcome(False, State.SUPERSEDED, str(target), sentence))
        elif verdict.health is Health.INTERRUPTED:
            await self._fail_interrupted(verdict.reason)
        else:
            await self._fail(attempt, verdict.reason, mark_bad=True)

    async def _fail_interrupted(self, reason: str) -> None:
        """Try the version again later, unless it was cut off as often as it may be while it ran."""
        attempt = await self._do(lambda journal: journal.current())
        times = 1 + await self._do(lambda journal: journal.interruptions(attempt.target))
        if attempt.ran and times >= MAX_INTERRUPTIONS:
            await self._fail(attempt, f"{reason}, {times} times while it ran", mark_bad=True)
        else:
            await self._fail(attempt, reason, mark_bad=False)

    async def _fail(self, attempt: Attempt, reason: str, *, mark_bad: bool) -> None:
        await self._do(lambda journal: journal.fail(attempt, reason, State.FAILING, mark_bad=mark_bad))
        sentence = f"{attempt.target} failed and is being rolled back: {reason}"
        await self._report(Outcome(False, State.FAILING, str(attempt.target), sentence))

    async def _roll_back(self) -> None:
        """Load what ran before a failing attempt, if there is one; nothing moves until a person arms."""
        attempt = await self._do(lambda journal: journal.open_attempt())
        if attempt is None or attempt.state is not State.FAILING:
            return
        while (await self._core()).get("mode") == "stopping":
            await asyncio.sleep(WATCH_PERIOD_S)
        back = await self._load_back(await self._to_go_back_to(attempt))
        await self._do(lambda journal: journal.advance(attempt.number, State.ROLLED_BACK, attempt.reason))
        sentence = f"{attempt.target} was rolled back, {back}: {attempt.reason}"
        await self._report(Outcome(False, State.ROLLED_BACK, str(attempt.target), sentence))

    async def _to_go_back_to(self, attempt: Attempt) -> Previous | None:
        """Return what ran before, but never one that is known to have failed: the last known good one then, or none."""
        if attempt.previous is None:
            return None
        sha256 = hashlib.sha256(attempt.previous.source).hexdigest()
        record: ControllerRecord | None = await self._store(self._store.store.controller, sha256)
        if record is None or record.fault is None:
            return attempt.previous
        good: ControllerRecord | None = await self._store(self._store.store.last_known_good, attempt.sha256)
        return Previous(good.name, good.version, good.source) if good else None

    async def _load_back(self, previous: Previous | None) -> str:
        if previous is None:
            await self._deployer.unload(ROLLBACK_ORIGIN)
            return "and no controller is loaded"
        try:
            await self._deployer.deploy(previous.name, previous.version, previous.source, ROLLBACK_ORIGIN)
        except RejectedError as error:
            if error.stage == "activate":
                raise
            await self._deployer.unload(ROLLBACK_ORIGIN)
            rejected = f"{previous.name} {previous.version} was rejected too ({error})"
            return f"and no controller is loaded, because {rejected}"
        return f"and {previous.name} {previous.version} is loaded again"

    # -- journal, reports ------------------------------------------------------------------------------------

    async def _do(self, work: Callable[[Journal], T]) -> T:
        """Use the journal in its own thread: the event loop never waits for the disk."""

        def run() -> T:
            if self._journal is None:
                self._journal = Journal(self._directory / "ota.db")
            return work(self._journal)

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)

    def _close(self) -> None:
        journal = self._journal
        if journal is not None:
            self._thread.submit(journal.close)
        self._thread.shutdown()

    async def _report(self, outcome: Outcome) -> None:
        """Publish and log what is new; a refusal that lasts is told once, not at each poll."""
        if outcome == self._last_report:
            return
        self._last_report = outcome
        _log.log(logging.INFO if outcome.ok else logging.WARNING, "%s", outcome.sentence)
        with suppress(NatsError, OSError):
            await self._nats.publish(f"holdfast.{self._robot}.ota", outcome.payload(self._robot))

    async def _answer(self, message: Msg) -> None:
        outcome = await self.check()
        await self._report(outcome)
        if message.reply:
            with suppress(NatsError, OSError):
                await message.respond(outcome.payload(self._robot))
