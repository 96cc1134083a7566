"""An update's life on the robot: checked, loaded, watched, then committed or rolled back by itself."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import nats
import pytest
from servers import NatsServer
from simulated_robot import (
    SETS_NAN_LATER,
    SINE,
    STOPS_LATER,
    TRAPS_AT_ONCE,
    TRAPS_LATER,
    SimulatedRobot,
    controller,
)
from world import lose_database, publish, world

from holdfast.store import Store, StoreThread
from holdfast_ota.mirror import mirror
from holdfast_ota.repository import Repository


def run(scenario: Any) -> None:
    asyncio.run(scenario)


def test_a_controller_that_does_well_is_committed(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    async def scenario() -> None:
        publish(repository, SINE)
        async with world(tmp_path / "robot", repository.pinned_root, repository.published, bus.url) as here:
            await here.settled("watching")
            assert here.robot.version == "1"
            assert not here.robot.armed, "an update never arms"
            report = await here.run_until("committed")
            assert report["sentence"] == "controller motion 1 ran through its health window and is committed"
            assert (await here.check()).state == "current"
            assert [report["state"] for report in here.reports] == [
                "resolved",
                "staged",
                "activated",
                "watching",
                "committed",
            ]

    run(scenario())


@pytest.mark.parametrize(
    ("wat", "why"),
    [
        (TRAPS_LATER, "it trapped"),
        (SETS_NAN_LATER, "it set a command that is not a finite number"),
        (STOPS_LATER, "it asked for an emergency stop"),
    ],
)
def test_a_controller_that_fails_in_its_window_is_rolled_back_and_not_tried_again(
    repository: Repository, tmp_path: Path, bus: NatsServer, wat: str, why: str
) -> None:
    async def scenario() -> None:
        publish(repository, SINE)
        async with world(tmp_path / "robot", repository.pinned_root, repository.published, bus.url) as here:
            await here.run_until("committed")
            here.robot.armed = False
            publish(repository, wat)
            here.reports.clear()
            assert (await here.check()).state == "activated"
            report = await here.run_until("rolled_back")
            assert why in report["sentence"]
            assert "motion 1 is loaded again" in report["sentence"]
            assert (here.robot.version, here.robot.loads[-1][2]) == ("1", "ota-rollback")
            assert not here.robot.armed, "a roll-back never arms"

            again = await here.check()
            assert again.reason == "bad-version"
            assert "is not tried again" in again.sentence
            publish(repository, controller(amplitude=0.2))
            assert (await here.check()).state == "activated"
            assert here.robot.version == "3"

    run(scenario())


def test_without_a_controller_before_it_a_roll_back_unloads(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    async def scenario() -> None:
        publish(repository, TRAPS_LATER)
        async with world(tmp_path / "robot", repository.pinned_root, repository.published, bus.url) as here:
            await here.settled("watching")
            report = await here.run_until("rolled_back")
            assert "no controller is loaded" in report["sentence"]
            assert here.robot.version is None

    run(scenario())


def test_what_the_robots_own_check_rejects_is_never_loaded(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    async def scenario() -> None:
        publish(repository, TRAPS_AT_ONCE)
        async with world(tmp_path / "robot", repository.pinned_root, repository.published, bus.url) as here:
            await here.until(
                lambda: bool(here.reports) and here.reports[-1]["state"] == "refused", "a refusal"
            )
            assert here.reports[-1]["reason"] == "rejected"
            assert "the robot's own check rejected it" in here.reports[-1]["error"]
            assert here.robot.loads == []
            assert (await here.check()).reason == "bad-version"

    run(scenario())


def test_a_moving_robot_is_not_updated_until_it_is_disarmed(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    async def scenario() -> None:
        publish(repository, SINE)
        async with world(tmp_path / "robot", repository.pinned_root, repository.published, bus.url) as here:
            await here.run_until("committed")
            publish(repository, controller())
            waiting = await here.check()
            assert (waiting.ok, waiting.state) == (True, "staged")
            assert "when the robot is disarmed" in waiting.sentence
            assert here.robot.version == "1"
            here.robot.armed = False
            assert (await here.check()).state == "activated"

    run(scenario())


def test_an_owner_may_choose_to_swap_between_two_ticks(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    async def scenario() -> None:
        publish(repository, SINE)
        arguments = (tmp_path / "robot", repository.pinned_root, repository.published, bus.url)
        async with world(*arguments, activate="any") as here:
            await here.run_until("committed")
            publish(repository, controller())
            assert (await here.check()).state == "activated"
            assert here.robot.armed

    run(scenario())


def test_a_disarmed_robot_commits_nothing(repository: Repository, tmp_path: Path, bus: NatsServer) -> None:
    async def scenario() -> None:
        publish(repository, SINE)
        async with world(tmp_path / "robot", repository.pinned_root, repository.published, bus.url) as here:
            await here.settled("watching")
            looks = here.robot.looks
            await here.until(lambda: here.robot.looks > looks + 5, "several looks")
            assert here.attempts()[0].state == "watching"

    run(scenario())


def test_a_persons_own_choice_stands(repository: Repository, tmp_path: Path, bus: NatsServer) -> None:
    async def scenario() -> None:
        publish(repository, SINE)
        async with world(tmp_path / "robot", repository.pinned_root, repository.published, bus.url) as here:
            await here.settled("watching")
            await here.robot.deploy("own", "1", controller(amplitude=0.3).encode(), "operator")
            await here.settled("superseded")
            assert (await here.check()).reason == "bad-version"
            assert here.robot.loads[-1][2] == "operator"

    run(scenario())


def test_a_core_that_restarts_in_the_window_is_a_failure(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    async def scenario() -> None:
        publish(repository, SINE)
        async with world(tmp_path / "robot", repository.pinned_root, repository.published, bus.url) as here:
            await here.settled("watching")
            here.robot.reachable = False
            await here.robot.boot()
            here.robot.reachable = True
            report = await here.settled("rolled_back")
            assert "the core restarted" in report["sentence"]

    run(scenario())


def test_what_was_committed_is_loaded_again_by_a_robot_that_lost_its_database_and_not_after_an_unload(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    async def scenario() -> None:
        publish(repository, SINE)
        arguments = (tmp_path / "robot", repository.pinned_root, repository.published, bus.url)
        async with world(*arguments) as here:
            await here.run_until("committed")
            here.robot.armed = False
            await here.robot.unload("operator")
            assert (await here.check()).state == "current"
        lose_database(tmp_path / "robot")
        async with world(*arguments) as here:
            await here.settled("watching")
            assert here.robot.version == "1"
            await here.run_until("committed")
            assert (await here.check()).state == "current"

    run(scenario())


def test_an_unload_stands_after_the_database_was_lost(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    async def scenario() -> None:
        publish(repository, SINE)
        arguments = (tmp_path / "robot", repository.pinned_root, repository.published, bus.url)
        async with world(*arguments) as here:
            await here.run_until("committed")
        lose_database(tmp_path / "robot")
        store = StoreThread(Store.open(tmp_path / "robot" / "worker.db"))
        await SimulatedRobot(store).unload("operator")
        store.close()
        async with world(*arguments) as here:
            assert (await here.check()).state == "current"
            assert here.robot.loads == []

    run(scenario())


def test_a_robot_that_lost_its_database_tries_again_after_a_power_cut(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    async def scenario() -> None:
        publish(repository, SINE)
        arguments = (tmp_path / "robot", repository.pinned_root, repository.published, bus.url)
        async with world(*arguments) as here:
            await here.run_until("committed")
        lose_database(tmp_path / "robot")
        async with world(*arguments) as here:
            await here.settled("watching")
        async with world(*arguments) as here:
            await here.settled("rolled_back")
            await here.run_until("committed")
            assert here.robot.version == "1"
            assert (await here.check()).state == "current"

    run(scenario())


def test_a_robot_that_lost_its_database_tries_again_when_its_core_went_away(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    async def scenario() -> None:
        publish(repository, SINE)
        arguments = (tmp_path / "robot", repository.pinned_root, repository.published, bus.url)
        async with world(*arguments) as here:
            await here.run_until("committed")
        lose_database(tmp_path / "robot")
        async with world(*arguments) as here:
            here.robot.goes_away_at = "load"
            await here.settled("failed")
            here.robot.reachable = True
            assert (await here.check()).state == "activated"
            assert here.robot.version == "1"

    run(scenario())


def test_a_database_from_before_unloads_were_noted_is_not_a_lost_one(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    async def scenario() -> None:
        publish(repository, SINE)
        arguments = (tmp_path / "robot", repository.pinned_root, repository.published, bus.url)
        async with world(*arguments) as here:
            await here.run_until("committed")
            sha256 = here.attempts()[0].sha256
        lose_database(tmp_path / "robot")
        store = Store.open(tmp_path / "robot" / "worker.db")
        store.stage_controller(sha256=sha256, name="motion", version="1", source=b"", cwasm=Path("1.cwasm"))
        store.close()
        async with world(*arguments) as here:
            assert (await here.check()).state == "current"
            assert here.robot.loads == []

    run(scenario())


def test_what_a_robot_that_lost_its_database_rejects_is_not_tried_again(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    async def scenario() -> None:
        publish(repository, controller("unreachable", after=10_000))
        arguments = (tmp_path / "robot", repository.pinned_root, repository.published, bus.url)
        async with world(*arguments) as here:
            await here.run_until("committed")
        lose_database(tmp_path / "robot")
        async with world(*arguments, check_ticks=10_001) as here:
            assert (await here.settled("refused"))["reason"] == "rejected"
            assert (await here.check()).reason == "bad-version"
            assert here.robot.loads == []

    run(scenario())


def test_a_version_whose_core_dies_again_and_again_is_not_tried_for_ever(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    async def scenario() -> None:
        publish(repository, SINE)
        async with world(tmp_path / "robot", repository.pinned_root, repository.published, bus.url) as here:
            for number in range(3):
                if number:
                    here.reports.clear()
                    assert (await here.check()).state == "activated"
                await here.settled("watching")
                here.robot.armed = True
                here.robot.run(5)
                await here.until(lambda: here.attempts()[0].ran, "that it runs is noted")
                await here.robot.boot()
                await here.settled("rolled_back")
            assert (await here.check()).reason == "bad-version"
            assert "3 times while it ran" in here.attempts()[0].reason

    run(scenario())


@pytest.mark.parametrize("mended", [True, False], ids=["a person mended it", "nobody did"])
def test_a_roll_back_loads_what_ran_last_and_nothing_that_has_failed(
    repository: Repository, tmp_path: Path, bus: NatsServer, mended: bool
) -> None:
    async def scenario() -> None:
        publish(repository, SINE)
        async with world(tmp_path / "robot", repository.pinned_root, repository.published, bus.url) as here:
            await here.run_until("committed")
            committed = here.attempts()[0].sha256
            publish(repository, TRAPS_LATER)
            assert (await here.check()).state == "staged", "it moves, so the version waits"
            await here.robot.note_fault(committed)
            here.robot.armed = False
            if mended:
                await here.robot.deploy("hotfix", "1", controller(amplitude=0.3).encode(), "operator")
            here.reports.clear()
            assert (await here.check()).state == "activated"
            report = await here.run_until("rolled_back")
            if mended:
                assert "hotfix 1 is loaded again" in report["sentence"]
                assert here.robot.loads[-1] == ("hotfix", "1", "ota-rollback")
            else:
                assert "no controller is loaded" in report["sentence"]
                assert here.robot.version is None

    run(scenario())


def test_a_version_that_was_loaded_without_an_answer_is_rolled_back_to_what_ran_before(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    async def scenario() -> None:
        publish(repository, SINE)
        async with world(tmp_path / "robot", repository.pinned_root, repository.published, bus.url) as here:
            await here.run_until("committed")
            here.robot.armed = False
            publish(repository, TRAPS_LATER)
            here.robot.goes_away_at = "loaded"
            assert (await here.check()).state == "failed"
            assert here.robot.version == "2"
            here.robot.reachable = True
            here.reports.clear()
            assert (await here.check()).state == "activated"
            report = await here.run_until("rolled_back")
            assert "motion 1 is loaded again" in report["sentence"]

    run(scenario())


def test_a_roll_back_does_not_load_what_failed_beside_the_new_version(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    async def scenario() -> None:
        publish(repository, SINE)
        arguments = (tmp_path / "robot", repository.pinned_root, repository.published, bus.url)
        async with world(*arguments, activate="any") as here:
            await here.run_until("committed")
            committed = here.attempts()[0].sha256
            publish(repository, TRAPS_LATER)
            here.reports.clear()
            assert (await here.check()).state == "activated"
            await here.robot.note_fault(committed)
            report = await here.run_until("rolled_back")
            assert "no controller is loaded" in report["sentence"]
            assert here.robot.version is None

    run(scenario())


def test_a_roll_back_waits_for_a_core_that_is_away(
    repository: Repository, tmp_path: Path, bus: NatsServer
) -> None:
    async def scenario() -> None:
        publish(repository, TRAPS_LATER)
        async with world(tmp_path / "robot", repository.pinned_root, repository.published, bus.url) as here:
            await here.settled("watching")

            async def away() -> bool:
                if here.reports[-1]["state"] == "failing":
                    return True
                here.robot.armed = True
                here.robot.run(50)
                return False

            here.robot.goes_away_at = "unload"
            await here.until(away, "failing")
            await here.until(lambda: not here.robot.reachable, "a core that is away")
            here.robot.reachable = True
            await here.settled("rolled_back")

    run(scenario())


def test_from_the_hub_through_the_leaf_node_with_a_request(
    repository: Repository, tmp_path: Path, hub: NatsServer, leaf: NatsServer
) -> None:
    async def ask(client: Any) -> dict[str, Any]:
        while True:
            try:
                reply = await client.request("holdfast.arm-01.ota.check", b"", timeout=30)
            except nats.errors.NoRespondersError:
                await asyncio.sleep(0.05)
                continue
            answer: dict[str, Any] = json.loads(reply.data)
            return answer

    async def scenario() -> None:
        async with world(tmp_path / "robot", repository.pinned_root, "fleet", leaf.url) as here:
            operator = await nats.connect(hub.url)
            refusal = await ask(operator)
            assert refusal["reason"] == "unreachable"
            assert "the robot keeps its controller and tries again by itself" in refusal["error"]

            publish(repository, SINE)
            await mirror(repository, hub.url)
            answer = await ask(operator)
            assert (answer["ok"], answer["state"]) == (True, "activated")
            await here.run_until("committed")

            hub.stop()
            gone = await here.check()
            assert gone.reason == "unreachable"
            assert here.robot.version == "1"
            hub.start()

            async def back() -> bool:
                return (await here.check()).state == "current"

            await here.until(back, "a hub that is back")
            await operator.close()

    run(scenario())


def test_a_robot_polls_by_itself(repository: Repository, tmp_path: Path, bus: NatsServer) -> None:
    async def scenario() -> None:
        arguments = (tmp_path / "robot", repository.pinned_root, repository.published, bus.url)
        async with world(*arguments, poll_s=0.05) as here:
            await here.until(lambda: bool(here.reports), "a refusal")
            assert here.reports[0]["reason"] == "absent"
            publish(repository, SINE)
            await here.settled("activated")
            assert sum(report["state"] == "refused" for report in here.reports) == 1, (
                "told once, not at each poll"
            )

    run(scenario())
