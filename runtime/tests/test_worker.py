"""The worker with its real neighbours: core, safety daemon, plant, brokers, SQLite. Nothing is replaced."""

import asyncio
import base64
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nats
import nats.errors
import nats.js.errors
import pytest
from nats.aio.client import Client

from holdfast.daemons import CoreClient
from holdfast.errors import HoldfastError, RefusedError, RejectedError, UnreachableError
from holdfast.host_session import HostSession
from holdfast.modes import ARMED, FOLLOWING
from holdfast.seqpacket import ask
from holdfast.target import FleetTarget

REPOSITORY = Path(__file__).parents[2]
SINE = (REPOSITORY / "examples" / "controllers" / "sine.wat").read_bytes()
LATE_TRAP = (REPOSITORY / "hil_tests" / "controllers" / "late_trap.wat").read_bytes()
PATIENCE_S = 90.0
# LATE_TRAP traps at tick 301, 200 of them in a trial.
WATCH_TICKS = 400

Status = dict[str, Any]
Scenario = Callable[[HostSession], Awaitable[None]]
OnRobot = Callable[[Scenario], None]


def wat(body: str, imports: str = "") -> bytes:
    return f'(module {imports} (func (export "process") (param $tick i64) {body}))'.encode()


SET = '(import "command" "set" (func $set (param i32 f64) (result i32)))'
STILL = wat("")
BAD: dict[str, tuple[bytes, str]] = {
    "broken": (b"(module (func", "compile"),
    "not wasm": (b"\x00asm\xff\xff\xff\xff", "compile"),
    "empty": (b" ", "compile"),
    "no process": (b"(module)", "link"),
    "wrong process": (b'(module (func (export "process") (param i32)))', "link"),
    "unknown import": (wat("", '(import "host" "exec" (func))'), "link"),
    "outside limits": (wat("(drop (call $set (i32.const 0) (f64.const 9)))", SET), "verify"),
    "not a number": (wat("(drop (call $set (i32.const 0) (f64.const nan)))", SET), "verify"),
    "trap": (wat("unreachable"), "verify"),
    "endless": (wat("(loop $l (br $l))"), "verify"),
    "memory": (b'(module (memory 272) (func (export "process") (param i64)))', "instantiate"),
}


async def eventually(what: str, condition: Callable[[], Awaitable[Any]]) -> Any:
    """Poll until the condition gives something true."""
    deadline = time.monotonic() + PATIENCE_S
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            found = await condition()
        except HoldfastError as error:
            last, found = error, None
        if found:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"waited in vain: {what} ({last})")


async def status_where(robot: HostSession, what: str, condition: Callable[[Status], Any]) -> Status:
    async def look() -> Status | None:
        status = await robot.target.status()
        return status if condition(status) else None

    found: Status = await eventually(what, look)
    return found


def controller(status: Status) -> dict[str, Any]:
    return (status.get("control") or {}).get("controller") or {}


def lifecycle(status: Status) -> dict[str, Any]:
    return (status.get("control") or {}).get("lifecycle") or {}


async def arm(robot: HostSession) -> None:
    await status_where(robot, "nothing against arming", lambda s: s["control"].get("arm_blockers") == [])
    await robot.target.arm()
    await status_where(robot, "a running controller", lambda s: controller(s).get("state") == "running")


async def reset_and_arm(robot: HostSession) -> None:
    """After a part was killed: its loss is a stop that somebody has to clear."""

    async def reset() -> bool:
        await robot.target.reset()
        return True

    await eventually("the reset", reset)
    await arm(robot)


async def restart(robot: HostSession, part: str) -> None:
    """Kill a part and start it again."""
    robot.children[part].kill()
    await robot.children[part].stop()
    await robot.start_part(part)


async def hub(robot: HostSession) -> Client:
    async def quiet(_: Exception) -> None:
        pass

    return await nats.connect(robot.hub.url, error_cb=quiet, max_reconnect_attempts=-1, reconnect_time_wait=1)


def worker_database(robot: HostSession) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{robot.state_directory / 'worker.db'}?mode=ro", uri=True)


def steps(robot: HostSession) -> list[str]:
    with worker_database(robot) as db:
        return [row[0] for row in db.execute("select step from deployments order by id")]


def verification_below(directory: Path) -> int | None:
    """Return the number of the process that verifies a candidate staged below a directory."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (place / "cmdline").read_text(errors="replace")
            if command.partition("\0")[0].endswith("holdfast-verify") and str(directory) in command:
                return int(place.name)
    return None


# --- what a fleet sees -------------------------------------------------------------------------------------------


def test_a_robot_tells_the_fleet_what_it_does(on_robot: OnRobot) -> None:
    async def scenario(robot: HostSession) -> None:
        client = await hub(robot)
        states = await client.subscribe("holdfast.arm-01.state")
        beats = await client.subscribe("holdfast.arm-01.heartbeat")
        hellos = await client.subscribe("holdfast.fleet.register")
        state = json.loads((await states.next_msg(timeout=PATIENCE_S)).data)
        assert state["mode"] == "disarmed"
        assert set(state["sent"]) >= {"shoulder_pan", "gripper"}
        assert isinstance(state["state"]["shoulder_pan.position"], float)
        beat = json.loads((await beats.next_msg(timeout=PATIENCE_S)).data)
        assert beat["robot"] == "arm-01"
        await restart(robot, "worker")
        hello = json.loads((await hellos.next_msg(timeout=PATIENCE_S)).data)
        assert hello["channels"]["commands"][0] == "shoulder_pan"
        await client.close()

    on_robot(scenario)


def test_telemetry_rises_over_a_restart_and_arrives_in_order(on_robot: OnRobot) -> None:
    async def scenario(robot: HostSession) -> None:
        client = await hub(robot)

        async def recorded(least: int) -> list[int] | None:
            info = await client.jetstream().stream_info("FLEET_TELEMETRY")
            if info.state.messages < least:
                return None
            stored = [
                await client.jetstream().get_msg("FLEET_TELEMETRY", number)
                for number in range(1, info.state.messages + 1)
            ]
            return [json.loads(message.data or b"")["seq"] for message in stored]

        await eventually("telemetry at the hub", lambda: recorded(2))
        await restart(robot, "worker")
        sequence = await eventually("telemetry after the restart", lambda: recorded(5))
        assert sequence == list(range(1, len(sequence) + 1))
        await client.close()

    on_robot(scenario)


# --- deploy ------------------------------------------------------------------------------------------------------


def test_a_rejected_controller_leaves_the_running_one_alone(on_robot: OnRobot) -> None:
    async def scenario(robot: HostSession) -> None:
        await robot.target.deploy("sine", "1", SINE)
        await arm(robot)
        before = controller(await robot.target.status())
        for name, (source, stage) in BAD.items():
            with pytest.raises(RejectedError) as rejected:
                await robot.target.deploy("bad", "1", source)
            assert rejected.value.stage == stage, (name, rejected.value.report)
            assert len(str(rejected.value)) > 10, name
        after = controller(await robot.target.status())
        assert after["state"] == "running"
        assert after["generation"] == before["generation"]
        assert after["tick"] > before["tick"]
        assert steps(robot).count("rejected") == len(BAD)
        leftovers = [file.name for file in (robot.state_directory / "controllers").iterdir()]
        assert leftovers == [f"{before['sha256']}.cwasm"]

    on_robot(scenario)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_worker_killed_while_it_deploys(on_robot: OnRobot, seed: int) -> None:
    """Whenever it dies, core and store agree afterwards and the next deployment works."""
    moment = random.Random(seed)  # noqa: S311

    async def scenario(robot: HostSession) -> None:
        await robot.target.deploy("sine", "1", SINE)
        left = robot.state_directory / "controllers" / f".{'0' * 64}.cwasm.1.tmp"
        left.write_bytes(b"of a verification that was killed")
        for number in range(6):
            source = wat(f"(drop (i32.const {number}))")
            deploying = asyncio.create_task(robot.target.deploy("next", str(number), source))
            await asyncio.sleep(moment.uniform(0.0, 0.12))
            await restart(robot, "worker")
            deploying.cancel()
            await asyncio.gather(deploying, return_exceptions=True)
            status = await status_where(
                robot, "the worker again", lambda s: (s["worker"].get("heartbeat") or {}).get("attached")
            )
            loaded = controller(status)["sha256"]

            async def agreed(expected: str = loaded) -> bool:
                with worker_database(robot) as db:
                    return db.execute("select sha256 from controllers where state = 'active'").fetchall() == [
                        (expected,)
                    ]

            await eventually("core and store to agree", agreed)
        await robot.target.deploy("last", "1", STILL)
        with worker_database(robot) as db:
            assert db.execute("pragma quick_check").fetchone() == ("ok",)
        assert not list((robot.state_directory / "controllers").glob("staging-*"))
        assert not left.exists()
        await reset_and_arm(robot)

    on_robot(scenario)


def test_unload_is_remembered(on_robot: OnRobot) -> None:
    async def scenario(robot: HostSession) -> None:
        await robot.target.deploy("sine", "1", SINE)
        await robot.target.unload()
        await status_where(robot, "no controller", lambda s: s["control"]["controller"] is None)
        await restart(robot, "control")
        await status_where(
            robot, "the worker to see the new core", lambda s: s["control"].get("cycle", 0) > 2000
        )
        assert (await robot.target.status())["control"]["controller"] is None

    on_robot(scenario)


def test_what_somebody_else_unloads_is_not_brought_back(on_robot: OnRobot) -> None:
    async def scenario(robot: HostSession) -> None:
        await robot.target.deploy("sine", "1", SINE)
        async with await CoreClient.connect(robot.run_directory) as core:
            await core.unload()

        async def noticed() -> bool:
            return steps(robot)[-1] == "unloaded"

        await eventually("the worker to notice", noticed)

    on_robot(scenario)


# --- restore -----------------------------------------------------------------------------------------------------


def test_a_new_core_gets_its_controller_back_and_does_not_move(on_robot: OnRobot) -> None:
    async def scenario(robot: HostSession) -> None:
        await robot.target.deploy("sine", "1", SINE)
        await arm(robot)
        await restart(robot, "control")
        restored = await status_where(
            robot, "the controller back", lambda s: controller(s).get("name") == "sine"
        )
        assert restored["control"]["mode"] not in ARMED
        assert controller(restored)["state"] == "loaded"
        latched = await status_where(robot, "the lost core latched", lambda s: s["safety"].get("latched"))
        assert latched["safety"]["cause"] == "core_lost"
        await robot.target.reset()
        await arm(robot)

    on_robot(scenario)


def test_a_core_that_restarts_while_a_candidate_is_verified_gets_its_controller_back(
    on_robot: OnRobot,
) -> None:
    slow_and_bad = wat("(drop (i32.const 1))" * 15_000 + "unreachable")

    async def scenario(robot: HostSession) -> None:
        await robot.target.deploy("sine", "1", SINE)
        deploying = asyncio.create_task(robot.target.deploy("bad", "1", slow_and_bad))

        async with asyncio.timeout(PATIENCE_S):
            while (verifying := verification_below(robot.state_directory)) is None:
                await asyncio.sleep(0)  # it takes a tenth of a second
        os.kill(verifying, signal.SIGSTOP)
        await restart(robot, "control")
        await status_where(
            robot, "the worker to see the new core", lambda s: s["control"].get("cycle", 0) > 3000
        )
        assert controller(await robot.target.status()) == {}
        os.kill(verifying, signal.SIGCONT)
        with pytest.raises(RejectedError):
            await deploying
        await status_where(robot, "the controller back", lambda s: controller(s).get("name") == "sine")

    on_robot(scenario)


def test_a_controller_that_could_not_be_restored_is_not_forgotten(on_robot: OnRobot) -> None:
    """Another version of the system, to which this robot goes back, may be able to."""

    async def scenario(robot: HostSession) -> None:
        await robot.target.deploy("sine", "1", SINE)
        sha256 = controller(await robot.target.status())["sha256"]
        (robot.state_directory / "controllers" / f"{sha256}.cwasm").write_bytes(b"of another core")
        with sqlite3.connect(robot.state_directory / "worker.db") as db:
            db.execute("update controllers set source = ?", [b"(module)"])
        await restart(robot, "control")
        await status_where(
            robot, "the worker to see the new core", lambda s: s["control"].get("cycle", 0) > 3000
        )

        async def tried() -> bool:
            return steps(robot)[-1] == "failed"

        await eventually("the restore to fail", tried)
        seen = (await robot.target.status())["control"]["cycle"]
        await status_where(robot, "the next look", lambda s: s["control"].get("cycle", 0) > seen + 3000)
        with worker_database(robot) as db:
            assert db.execute("select sha256 from controllers where state = 'active'").fetchall() == [
                (sha256,)
            ]

    on_robot(scenario)


def test_a_controller_that_failed_is_never_brought_back(
    on_robot: OnRobot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_CONTROL__WATCH_TICKS", str(WATCH_TICKS))

    async def scenario(robot: HostSession) -> None:
        await robot.target.deploy("sine", "1", SINE)
        await arm(robot)

        async def proved() -> bool:
            return "good" in steps(robot)

        await eventually("the controller to prove itself", proved)
        await robot.target.deploy("late_trap", "1", LATE_TRAP)
        failed = await status_where(robot, "the trap", lambda s: lifecycle(s).get("rolled_back"))
        assert lifecycle(failed)["rolled_back"]["name"] == "late_trap"
        assert lifecycle(failed)["rolled_back"]["fault"] == "trap"

        async def journalled() -> bool:
            return {"faulted", "rolled_back"} <= set(steps(robot))

        await eventually("the fault and the way back to be journalled", journalled)
        assert failed["control"]["mode"] == "disarmed"
        assert controller(failed)["name"] == "sine"
        await restart(robot, "control")
        restored = await status_where(robot, "a controller back", controller)
        assert controller(restored)["name"] == "sine"

    on_robot(scenario)


def test_the_last_known_good_controller_survives_a_power_cut(
    on_robot: OnRobot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The core that rolls back is not the one in which the good controller proved itself."""
    monkeypatch.setenv("HOLDFAST_CONTROL__WATCH_TICKS", str(WATCH_TICKS))

    async def prove_and_die(robot: HostSession) -> None:
        await robot.target.deploy("sine", "1", SINE)
        await arm(robot)

        async def proved() -> bool:
            return "good" in steps(robot)

        await eventually("the controller to prove itself", proved)
        await robot.target.disarm()
        await robot.target.deploy("late_trap", "1", LATE_TRAP)
        for child in robot.children.values():
            child.kill()

    async def fail_and_go_back(robot: HostSession) -> None:
        await status_where(robot, "the controller back", lambda s: controller(s).get("name") == "late_trap")
        await status_where(robot, "what the journal knows", lambda s: lifecycle(s).get("last_known_good"))
        await reset_and_arm(robot)
        back = await status_where(robot, "the way back", lambda s: lifecycle(s).get("rolled_back"))
        assert controller(back)["name"] == "sine"
        assert back["control"]["mode"] == "disarmed"

        async def remembered() -> bool:
            with worker_database(robot) as db:
                return db.execute("select name from controllers where state = 'active'").fetchall() == [
                    ("sine",)
                ]

        await eventually("the store to remember it", remembered)
        await arm(robot)

    on_robot(prove_and_die)
    on_robot(fail_and_go_back)


# --- a trial beside the running controller ------------------------------------------------------------------------


def from_tick(tick: int, body: str) -> bytes:
    return wat(f"(if (i64.ge_s (local.get $tick) (i64.const {tick})) (then {body}))", SET)


HOSTILE_CANDIDATES: dict[str, tuple[bytes, str, int, str]] = {
    "endless": (from_tick(110, "(loop $l (br $l))"), "shadow", 110, "interrupted"),
    "trap": (from_tick(150, "unreachable"), "canary", 150, "process(150) trapped"),
    "nan": (
        from_tick(130, "(drop (call $set (i32.const 0) (f64.const nan)))"),
        "canary",
        130,
        "is not finite",
    ),
    "limits": (from_tick(101, "(drop (call $set (i32.const 0) (f64.const 9)))"), "shadow", 101, "is outside"),
}


def test_a_controller_is_tried_beside_the_one_that_runs(
    on_robot: OnRobot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each passes the 100 ticks of the verification and does wrong later, in the trial."""
    monkeypatch.setenv("HOLDFAST_CONTROL__SHADOW_TICKS", "125")

    async def scenario(robot: HostSession) -> None:
        await robot.target.deploy("sine", "1", SINE)
        await arm(robot)
        before = controller(await robot.target.status())
        for name, (source, stage, tick, says) in HOSTILE_CANDIDATES.items():
            with pytest.raises(RejectedError) as rejected:
                await robot.target.deploy("bad", "1", source)
            report = rejected.value.report
            assert (report["stage"], report["tick"]) == (stage, tick), (name, report)
            assert says in str(rejected.value), name
        after = controller(await robot.target.status())
        assert (after["sha256"], after["state"]) == (before["sha256"], "running")
        assert after["tick"] > before["tick"]

        seen: list[dict[str, Any]] = []
        done = await robot.target.deploy("next", "1", STILL, seen.append)
        assert done["trial"]["result"] == "active"
        assert {candidate["stage"] for candidate in seen} <= {"shadow", "canary"}
        assert seen
        status = await robot.target.status()
        assert controller(status)["name"] == "next"
        assert status["control"]["mode"] in FOLLOWING
        with worker_database(robot) as db:
            outcomes = db.execute("select stage, result, tick from stage_outcomes order by id").fetchall()
        assert [result for _, result, _ in outcomes] == ["rejected"] * len(HOSTILE_CANDIDATES) + ["active"]
        assert steps(robot)[-3:] == ["shadow", "canary", "active"]

    on_robot(scenario)


async def begin_trial(robot: HostSession) -> asyncio.Task[Any]:
    """Let sine move the robot and next be tried beside it; returns the deployment that waits for the trial."""
    await robot.target.deploy("sine", "1", SINE)
    await arm(robot)
    deploying = asyncio.create_task(robot.target.deploy("next", "1", STILL))
    await status_where(robot, "the trial", lambda s: lifecycle(s).get("candidate"))
    return deploying


def test_a_stop_ends_the_trial_and_the_deployer_hears_it(
    on_robot: OnRobot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_CONTROL__SHADOW_TICKS", "100000")

    async def scenario(robot: HostSession) -> None:
        deploying = await begin_trial(robot)
        await robot.target.disarm()
        with pytest.raises(RejectedError, match="withdrawn, because the robot was stopped") as rejected:
            await deploying
        assert rejected.value.stage == "activate"
        assert controller(await robot.target.status())["name"] == "sine"
        await robot.target.deploy("next", "1", STILL)
        assert controller(await robot.target.status())["name"] == "next"

    on_robot(scenario)


def test_a_trial_whose_deployment_is_over_is_ended(
    on_robot: OnRobot, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for its outcome any more: it must not become active behind everybody's back."""
    monkeypatch.setenv("HOLDFAST_CONTROL__SHADOW_TICKS", "100000")
    monkeypatch.setenv("HOLDFAST_SAFETY__WORKER_REQUIRED", "false")

    async def scenario(robot: HostSession) -> None:
        deploying = await begin_trial(robot)
        await restart(robot, "worker")
        ended = await status_where(robot, "the trial's end", lambda s: lifecycle(s).get("outcome"))
        assert lifecycle(ended)["outcome"]["reason"] == "asked"
        assert lifecycle(ended)["candidate"] is None
        assert (controller(ended)["name"], ended["control"]["mode"]) == ("sine", "running")
        deploying.cancel()
        await asyncio.gather(deploying, return_exceptions=True)

    on_robot(scenario)


def test_a_robot_is_paused_from_afar_and_resumed_beside_it(on_robot: OnRobot) -> None:
    async def scenario(robot: HostSession) -> None:
        fleet = FleetTarget(robot.hub.url, robot.robot_id)
        await robot.target.deploy("sine", "1", SINE)
        with pytest.raises(RefusedError, match="not possible while the robot is disarmed"):
            await fleet.pause()
        await arm(robot)
        await fleet.pause()
        paused = await status_where(robot, "the pause", lambda s: s["control"]["mode"] == "paused")
        with pytest.raises(RefusedError, match="local act"):
            await fleet.resume()
        async with await CoreClient.connect(robot.run_directory) as core:
            later = await core.status()
        assert later["controller"]["tick"] == controller(paused)["tick"]
        with pytest.raises(RejectedError, match="the robot is paused"):
            await robot.target.deploy("next", "1", STILL)
        await robot.target.resume()
        await status_where(
            robot, "the robot to go on", lambda s: controller(s).get("tick", 0) > controller(paused)["tick"]
        )

    on_robot(scenario)


def test_the_latch_survives_the_death_of_everything(on_robot: OnRobot) -> None:
    async def stop_and_die(robot: HostSession) -> None:
        await robot.target.deploy("sine", "1", SINE)
        await arm(robot)
        assert await robot.target.estop("test") == 1
        for child in robot.children.values():
            child.kill()

    async def come_back(robot: HostSession) -> None:
        status = await status_where(
            robot, "the controller back", lambda s: controller(s).get("name") == "sine"
        )
        assert status["safety"]["latched"]
        assert status["safety"]["cause"] == "operator"
        assert status["safety"]["latch_sequence"] == 1
        with pytest.raises(RefusedError, match="e-stop is latched"):
            await robot.target.arm()
        await robot.target.reset()
        await status_where(robot, "the reset", lambda s: s["control"].get("mode") == "disarmed")
        await arm(robot)

    on_robot(stop_and_die)
    on_robot(come_back)


@pytest.mark.parametrize("name", ["plant", "safety", "control"])
def test_a_daemon_that_is_stopped_and_continued_goes_on(on_robot: OnRobot, name: str) -> None:
    """As a debugger does it, and a host that has no processor for it."""

    async def scenario(robot: HostSession) -> None:
        child = robot.children[name]
        socket = robot.run_directory / ("plant-control.sock" if name == "plant" else f"{name}.sock")
        os.kill(child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED)
        os.kill(child.pid, signal.SIGCONT)
        for _ in range(100):  # one that ends may still answer a few
            await ask(socket, {"op": "status"})
        assert child.running, child.last_words()

    on_robot(scenario)


# --- heartbeat ---------------------------------------------------------------------------------------------------


def test_a_worker_that_ends_in_good_order_is_no_emergency_and_one_that_dies_is(
    on_robot: OnRobot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_SAFETY__WORKER_TIMEOUT_MS", "2000")

    async def scenario(robot: HostSession) -> None:
        async def safety() -> dict[str, Any]:
            return await ask(robot.run_directory / "safety.sock", {"op": "status"})

        await robot.children["worker"].stop()
        begin = time.monotonic()
        while time.monotonic() - begin < 4.0:  # twice the time limit
            assert not (await safety())["latched"]
            await asyncio.sleep(0.1)
        await robot.start_part("worker")
        await status_where(
            robot, "the worker", lambda s: (s["worker"].get("heartbeat") or {}).get("attached")
        )
        robot.children["worker"].kill()

        async def latched() -> bool:
            status = await safety()
            return bool(status["latched"]) and status["cause"] == "worker_lost"

        await eventually("the stop", latched)

    on_robot(scenario)


# --- broker and disk ---------------------------------------------------------------------------------------------


def test_a_worker_needs_no_broker_to_start_and_finds_it_later(on_robot: OnRobot) -> None:
    async def scenario(robot: HostSession) -> None:
        await robot.target.deploy("sine", "1", SINE)
        await robot.children["broker"].stop()
        await robot.children["worker"].stop()
        await robot.start_part("worker")
        await status_where(robot, "the heartbeat", lambda s: s["safety"]["worker"]["attached"])
        await arm(robot)
        await robot.start_part("broker")
        await robot.wait_ready(PATIENCE_S)
        await robot.target.deploy("sine", "2", SINE)

    on_robot(scenario)


def test_a_damaged_database_is_told_and_the_robot_goes_on(on_robot: OnRobot) -> None:
    async def scenario(robot: HostSession) -> None:
        await robot.target.deploy("sine", "1", SINE)
        robot.children["worker"].kill()
        await robot.children["worker"].stop()
        database = robot.state_directory / "worker.db"
        for suffix in ("-wal", "-shm"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        database.write_bytes(b"damaged" * 1000)
        await robot.start_part("worker")
        status = await status_where(
            robot, "the worker's complaint", lambda s: (s["worker"] or {}).get("damaged_store")
        )
        assert Path(status["worker"]["damaged_store"]).read_bytes() == b"damaged" * 1000
        assert controller(status)["name"] == "sine"
        await reset_and_arm(robot)
        await robot.target.deploy("sine", "2", SINE)

    on_robot(scenario)


# --- hostile senders ---------------------------------------------------------------------------------------------

HOSTILE: list[bytes] = [
    b"",
    b"\xff\xfe",
    b"[]",
    b"null",
    b"[" * 20_000,
    b'{"name":"a","source_b64":"!!!"}',
    b'{"name":"a","source_b64":"AA==","run":"rm"}',
    b'{"name":"../../etc/passwd","source_b64":"AA=="}',
    b'{"name":"a\\u0000b","source_b64":"AA=="}',
    b'{"name":7,"source_b64":"AA=="}',
    b'{"name":"a","version":"' + b"v" * 100 + b'","source_b64":"AA=="}',
    b'{"name":"a","source_b64":"' + b"A" * 7_000_000 + b'"}',
    b'{"name":"a","source_b64":"' + base64.b64encode(b";" * 4_300_000) + b'"}',
]


def test_hostile_requests_are_refused_and_change_nothing(on_robot: OnRobot) -> None:
    async def scenario(robot: HostSession) -> None:
        await robot.target.deploy("sine", "1", SINE)
        client = await hub(robot)
        for data in HOSTILE:
            answer = await client.request("holdfast.arm-01.deploy", data, timeout=PATIENCE_S)
            reply = json.loads(answer.data)
            assert reply["ok"] is False
            assert "Traceback" not in reply["error"]
        for verb in ("arm", "reset", "disarm", "resume", "clear"):
            with pytest.raises(nats.errors.NoRespondersError):
                await client.request(f"holdfast.arm-01.{verb}", b"{}", timeout=PATIENCE_S)
        status = await robot.target.status()
        assert controller(status)["name"] == "sine"
        assert status["worker"]["part_restarts"] == 0
        stop = json.loads(
            (await client.request("holdfast.arm-01.estop", b"\xffgarbage", timeout=PATIENCE_S)).data
        )
        assert stop == {"ok": True, "latch_sequence": 1}
        await client.close()

    on_robot(scenario)


# --- tasks -------------------------------------------------------------------------------------------------------


async def fleet_results(client: Client, least: int) -> list[dict[str, Any]] | None:
    info = await client.jetstream().stream_info("FLEET_RESULTS")
    if info.state.messages < least:
        return None
    found = []
    for number in range(1, info.state.messages + 1):
        message = await client.jetstream().get_msg("FLEET_RESULTS", number)
        found.append(json.loads(message.data or b""))
    return found


async def send_task(client: Client, task: bytes | dict[str, Any]) -> None:
    data = task if isinstance(task, bytes) else json.dumps(task).encode()
    await client.jetstream().publish("holdfast.arm-01.task", data)


def test_each_task_has_one_result_whatever_its_sender_does(on_robot: OnRobot) -> None:
    async def scenario(robot: HostSession) -> None:
        client = await hub(robot)
        deploy = {"name": "sine", "source_b64": base64.b64encode(SINE).decode()}
        bad = {"name": "bad", "source_b64": base64.b64encode(b"(module)").decode()}
        for task in (
            b"not json",
            b"{}",
            b'{"id":"x/../y","kind":"deploy"}',
            b'{"id":"k","kind":"format_disk"}',
        ):
            await send_task(client, task)
        await status_where(
            robot, "the refusals", lambda s: (s["worker"].get("counters") or {}).get("tasks_refused") == 4
        )
        await send_task(client, {"id": "t2", "kind": "status_report"})
        await send_task(client, {"id": "t1", "kind": "deploy", "args": deploy})
        for _ in range(3):
            await send_task(client, {"id": "t1", "kind": "deploy", "args": deploy})
        await send_task(client, {"id": "t3", "kind": "deploy", "args": bad})
        await restart(robot, "worker")
        await send_task(client, {"id": "t1", "kind": "deploy", "args": deploy})
        await send_task(client, {"id": "t4", "kind": "status_report"})

        async def all_there() -> list[dict[str, Any]] | None:
            results = await fleet_results(client, 4)
            return (
                results
                if results and {result["id"] for result in results} >= {"t1", "t2", "t3", "t4"}
                else None
            )

        results = await eventually("four results", all_there)
        assert sorted(result["id"] for result in results) == ["t1", "t2", "t3", "t4"]
        by_id = {result["id"]: result for result in results}
        assert by_id["t1"]["ok"] is True
        assert by_id["t3"]["ok"] is False
        assert "process" in by_id["t3"]["error"]
        assert by_id["t2"]["result"]["control"]["robot_id"] == "arm-01"
        status = await status_where(
            robot,
            "the counters",
            lambda s: (s["worker"].get("counters") or {}).get("tasks_duplicate", 0) >= 4,
        )
        assert status["worker"]["counters"]["tasks_refused"] == 4
        assert controller(status)["name"] == "sine"
        await client.close()

    on_robot(scenario)


def test_a_worker_killed_again_and_again_gives_each_result_once(on_robot: OnRobot) -> None:
    moment = random.Random(3)  # noqa: S311
    count = 12

    async def scenario(robot: HostSession) -> None:
        client = await hub(robot)
        for number in range(count):
            await send_task(client, {"id": f"t{number}", "kind": "status_report"})
        for _ in range(4):
            await asyncio.sleep(moment.uniform(0.2, 1.5))
            await restart(robot, "worker")
        results = await eventually("all results", lambda: fleet_results(client, count))
        assert sorted(result["id"] for result in results) == sorted(f"t{number}" for number in range(count))
        with worker_database(robot) as db:
            assert db.execute("select count(*) from tasks where state = 'done'").fetchone() == (count,)
        await client.close()

    on_robot(scenario)


def test_a_task_for_the_fleet_waits_while_the_link_is_down(on_robot: OnRobot) -> None:
    async def scenario(robot: HostSession) -> None:
        await robot.target.deploy("sine", "1", SINE)
        await arm(robot)
        await robot.children["hub"].stop()
        on_the_robot = FleetTarget(robot.broker_url, robot.robot_id)

        async def link_is_down() -> bool:
            return (await on_the_robot.status())["worker"]["fleet_link"] is False

        await eventually("the worker to see that the link is down", link_is_down)
        local = await nats.connect(robot.broker_url)
        for task in (
            {"id": "far", "kind": "status_report", "requires": ["fleet"]},
            {"id": "near", "kind": "status_report"},
        ):
            await local.jetstream().publish("holdfast.arm-01.task", json.dumps(task).encode())

        async def near_is_done() -> bool:
            with worker_database(robot) as db:
                states = dict(db.execute("select id, state from tasks").fetchall())
            return states == {"far": "queued", "near": "done"}

        await eventually("the task that needs no fleet", near_is_done)
        assert controller(await robot.target.status())["state"] == "running"
        await robot.start_part("hub")
        await robot.wait_ready(PATIENCE_S)
        client = await hub(robot)
        results = await eventually("both results at the hub", lambda: fleet_results(client, 2))
        assert [result["id"] for result in results] == ["near", "far"]
        await client.close()
        await local.close()

    on_robot(scenario)


def test_a_robot_that_lost_its_streams_is_gathered_again(on_robot: OnRobot) -> None:
    async def scenario(robot: HostSession) -> None:
        client = await hub(robot)
        for task in ("first", "second", "third"):
            await send_task(client, {"id": task, "kind": "status_report"})
        await eventually("the first results at the hub", lambda: fleet_results(client, 3))
        await client.close()
        await robot.children["hub"].stop()
        await robot.children["broker"].stop()
        shutil.rmtree(robot.run_directory.parent / "broker")  # as if flashed anew
        await robot.start_part("broker")
        local = await nats.connect(robot.broker_url)

        async def task_is_taken() -> bool:
            with contextlib.suppress(nats.errors.Error):
                await send_task(local, {"id": "after", "kind": "status_report"})
                return True
            return False

        async def is_reported() -> bool:
            with contextlib.suppress(nats.js.errors.Error):
                return (await local.jetstream().stream_info("RESULTS")).state.messages == 1
            return False

        await eventually("the new streams", task_is_taken)
        await eventually("the result on the robot", is_reported)
        await local.close()
        await robot.start_part("hub")
        await robot.wait_ready(PATIENCE_S)
        client = await hub(robot)
        results = await eventually("the next result at the hub", lambda: fleet_results(client, 4))
        assert [result["id"] for result in results] == ["first", "second", "third", "after"]
        sources = (await client.jetstream().stream_info("FLEET_RESULTS")).sources
        assert sources is not None
        assert len(sources) == 1
        await client.close()

    on_robot(scenario)


def test_a_target_without_a_robot_says_so(on_robot: OnRobot) -> None:
    async def scenario(robot: HostSession) -> None:
        await robot.children["worker"].stop()
        with pytest.raises(UnreachableError, match="no worker of robot arm-01 answers"):
            await robot.target.deploy("sine", "1", SINE)
        status = await robot.target.status()
        assert status["control"]["mode"] == "disarmed"
        assert "no worker" in status["worker"]["error"]

    on_robot(scenario)
