"""The example robots with their own controllers, as real processes over simulated drives: deploy, move, stop, hold.

Whether a controller moves as it says is judged from the core's state segment: what was asked for, what was sent and
what the joints did. Every bound on an error is a bound on motion, none on time.
"""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import nats
import pytest

from holdfast.config import RobotConfig, load_robot_config
from holdfast.daemons import CoreClient
from holdfast.errors import RefusedError
from holdfast.host_session import HostSession
from holdfast.layout import SegmentReader, load_layout
from holdfast.modes import FOLLOWING
from holdfast.target import FleetTarget

EXAMPLES = Path(__file__).parents[2] / "examples"
ROBOTS = sorted((EXAMPLES / "robots").glob("*.toml"))
PATIENCE_S = 120.0
POLL_S = 0.01


class RunOnRobot(Protocol):
    """The fixture `on_robot`."""

    def __call__(self, scenario: Callable[[HostSession], Awaitable[None]], robot_file: Path) -> None: ...


def robot_file(name: str) -> Path:
    return EXAMPLES / "robots" / f"{name}.toml"


@dataclass(frozen=True)
class Sample:
    """One look at the robot."""

    cycle: int
    mode: str
    sim_s: float
    requested: dict[str, float]
    sent: dict[str, float]
    state: dict[str, float]


class Operator:
    """A person beside the robot."""

    def __init__(self, session: HostSession, core: CoreClient, segment: SegmentReader, modes: dict[int, str]):
        self.session = session
        self._core = core
        self._segment = segment
        self._modes = modes
        self.config: RobotConfig = load_robot_config(session.run_directory.parent / "robot.toml", {})
        self.period_ns = 1_000_000_000 // self.config.control.tier1_hz

    async def status(self) -> dict[str, Any]:
        return await self._core.status()

    def look(self) -> Sample:
        data = self._segment.read()
        commands, states = self.config.command_names, self.config.state_names
        return Sample(
            int(data["cycle"]),
            self._modes[int(data["mode"])],
            int(data["sim_time_ns"]) * 1e-9,
            {name: float(data["requested"][index]) for index, name in enumerate(commands)},
            {name: float(data["sent"][index]) for index, name in enumerate(commands)},
            {name: float(data["state"][index]) for index, name in enumerate(states)},
        )

    def phase_ns(self) -> int:
        """When the last cycle was due, since the multiple of the period before it."""
        data = self._segment.read()
        return (int(data["mono_ns"]) - int(data["wake_latency_ns"])) % self.period_ns

    async def until(self, what: str, found: Callable[[Sample], Any]) -> Sample:
        end = asyncio.get_running_loop().time() + PATIENCE_S
        while asyncio.get_running_loop().time() < end:
            sample = self.look()
            if found(sample):
                return sample
            await asyncio.sleep(POLL_S)
        raise AssertionError(f"waited in vain: {what}; last {self.look()}, {await self.status()}")

    async def watch(self, cycles: int) -> list[Sample]:
        """Look again and again for so many cycles; it must stay armed. A busy host's late cycle holds for a moment."""
        samples = [self.look()]
        while samples[-1].cycle < samples[0].cycle + cycles:
            await asyncio.sleep(POLL_S)
            samples.append(self.look())
        assert {sample.mode for sample in samples} <= FOLLOWING, await self.status()
        return samples

    async def run(self, controller: str) -> None:
        """Deploy through the fleet's hub and arm."""
        source = (EXAMPLES / "controllers" / f"{controller}.wat").read_bytes()
        await self.session.target.deploy(controller, "", source)
        await self._armed()

        async def running() -> bool:
            return bool((await self.status())["controller"]["state"] == "running")

        await eventually(f"{controller} runs", running)

    async def _armed(self) -> None:
        async def arms() -> bool:
            try:
                await self._core.arm()
            except RefusedError:
                return False
            return True

        await eventually("the robot can be armed", arms)

    async def stop(self) -> None:
        """Disarm; then the robot stands and every position channel holds one value."""
        await self._core.disarm()
        await self.until("the robot stands", lambda sample: sample.mode == "disarmed")
        rest = self.look()
        later = await self.until("500 cycles at rest", lambda sample: sample.cycle >= rest.cycle + 500)
        for channel in self.config.command:
            if channel.kind != "position":
                assert later.sent[channel.name] == 0.0, channel.name
                continue
            assert channel.position_state is not None
            moved = abs(later.state[channel.position_state] - rest.state[channel.position_state])
            assert moved < 0.01, channel.name


async def eventually(what: str, condition: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if found := await condition():
                return found
            await asyncio.sleep(POLL_S)
    raise AssertionError(what)


def on(run: RunOnRobot, name: str, part: Callable[[Operator], Awaitable[None]]) -> None:
    async def scenario(session: HostSession) -> None:
        layout = await load_layout()
        async with await CoreClient.connect(session.run_directory) as core:
            segment = await core.segment(layout)
            try:
                await part(Operator(session, core, segment, layout.enums["Mode"]))
            finally:
                segment.close()

    run(scenario, robot_file(name))


def position_of(sample: Sample, channel: str) -> float:
    return sample.state[f"{channel}.position"]


def nine_in_ten(errors: list[float]) -> float:
    """A busy machine lets the plant or the core stand still for a while; what is judged is how they move."""
    return sorted(errors)[len(errors) * 9 // 10]


def tracking_error(samples: list[Sample], channel: str, state: str) -> float:
    return nine_in_ten([abs(s.requested[channel] - s.state[f"{channel}.{state}"]) for s in samples])


# --- parts ---------------------------------------------------------------------------------------------------------


async def holds(robot: Operator) -> None:
    """hold.wat: armed, and nothing moves."""
    await robot.run("hold")
    samples = await robot.watch(500)
    for name in samples[0].state:
        values = [sample.state[name] for sample in samples]
        assert max(values) - min(values) < 0.01, name
    await robot.stop()


async def swings_first_channel(robot: Operator, state: str, error: float) -> None:
    """sine.wat: channel 0 follows 0.5 sin(pi/2 t)."""
    await robot.run("sine")
    channel = robot.config.command_names[0]
    await robot.watch(1500)  # onto the sine
    samples = await robot.watch(4500)
    wrong = [abs(s.requested[channel] - 0.5 * math.sin(math.pi / 2 * s.sim_s)) for s in samples]
    assert nine_in_ten(wrong) < 0.02
    moved = [sample.state[f"{channel}.{state}"] for sample in samples]
    assert max(moved) - min(moved) > 0.8
    assert tracking_error(samples, channel, state) < error
    await robot.stop()


async def swings_every_joint(robot: Operator, error: float) -> None:
    """sine_joints.wat: each channel over a tenth of its range."""
    await robot.run("sine_joints")
    await robot.watch(1500)
    samples = await robot.watch(2500)
    for channel in robot.config.command:
        low, high = channel.limits
        positions = [position_of(sample, channel.name) for sample in samples]
        assert max(positions) - min(positions) > 0.08 * (high - low), channel.name
        assert tracking_error(samples, channel.name, "position") < error, channel.name
    await robot.stop()


async def follows(
    robot: Operator, controller: str, poses: list[dict[str, float]], reached: float, error: float
) -> None:
    """Pass through every pose in order, no further from what the controller asks for than `error`."""
    await robot.run(controller)
    samples: list[Sample] = []
    for number, pose in enumerate(poses):

        def at(sample: Sample, pose: dict[str, float] = pose) -> bool:
            samples.append(sample)
            return all(abs(position_of(sample, joint) - angle) < reached for joint, angle in pose.items())

        await robot.until(f"pose {number}", at)
    for channel in robot.config.command_names:
        assert tracking_error(samples, channel, "position") < error, channel
    await robot.stop()


# --- robots --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ROBOTS, ids=lambda file: file.stem)
def test_an_example_robot_is_valid(file: Path) -> None:
    config = load_robot_config(file, {})
    assert config.control.realtime == "require"
    assert config.robot.id


def test_every_example_robot_is_run_here() -> None:
    assert {file.stem for file in ROBOTS} == {"arm", "arm6", "diff_drive", "gripper", "quadruped"}


def test_the_loop_keeps_to_its_slot_in_the_period(on_robot: RunOnRobot) -> None:
    async def part(robot: Operator) -> None:
        phases = set()
        for _ in range(20):
            phases.add(robot.phase_ns())
            await asyncio.sleep(POLL_S)
        assert phases == {robot.period_ns // 4}

    on(on_robot, "diff_drive", part)


def test_the_arm_holds_swings_and_picks_and_places(on_robot: RunOnRobot) -> None:
    names = ("base", "shoulder", "elbow", "wrist_1", "wrist_2", "wrist_3")
    poses = [
        (0.0, -0.4, 1.2, 0.8, 0.0, 0.0),
        (0.8, 0.2, 1.4, 0.5, 0.6, 0.8),
        (0.8, 0.5, 1.6, 0.3, 0.6, 0.8),
        (0.8, 0.2, 1.4, 0.5, 0.6, 0.8),
        (-0.8, 0.2, 1.4, 0.5, 0.6, -0.8),
        (-0.8, 0.5, 1.6, 0.3, 0.6, -0.8),
    ]

    async def part(robot: Operator) -> None:
        await holds(robot)
        await swings_first_channel(robot, "position", error=0.2)
        await swings_every_joint(robot, error=0.2)
        wanted = [dict(zip(names, pose, strict=True)) for pose in poses]
        await follows(robot, "trajectory_arm6", wanted, reached=0.05, error=0.3)

    on(on_robot, "arm6", part)


def test_the_quadruped_holds_swings_and_trots(on_robot: RunOnRobot) -> None:
    legs = ("front_left", "front_right", "rear_left", "rear_right")
    stand, push, lift = (0.0, 0.7, -1.4), (0.0, 0.8, -1.4), (0.0, 0.5, -1.8)
    poses = [(stand,) * 4, (lift, push, push, lift), (push, lift, lift, push), (lift, push, push, lift)]

    def joints(pose: tuple[tuple[float, float, float], ...]) -> dict[str, float]:
        return {
            f"{leg}_{part}": angle
            for leg, angles in zip(legs, pose, strict=True)
            for part, angle in zip(("hip", "thigh", "knee"), angles, strict=True)
        }

    async def part(robot: Operator) -> None:
        await holds(robot)
        await swings_first_channel(robot, "position", error=0.2)
        await swings_every_joint(robot, error=0.2)
        await follows(robot, "trajectory_quadruped", [joints(p) for p in poses], reached=0.12, error=0.4)

    on(on_robot, "quadruped", part)


def test_the_gripper_holds_turns_its_flange_and_grips(on_robot: RunOnRobot) -> None:
    async def part(robot: Operator) -> None:
        await holds(robot)
        await swings_first_channel(robot, "position", error=0.2)
        await robot.run("grip")
        for _ in range(2):
            closed = await robot.until("closed jaws", lambda s: s.state["jaws.position"] > 0.08)
            await robot.until("a light grip", lambda s: s.sent["jaws"] == pytest.approx(15.0))
            opened = await robot.until("open jaws", lambda s: s.state["jaws.position"] < 0.005)
            assert closed.cycle < opened.cycle
            assert -20.0 <= opened.sent["jaws"] <= 30.0
        await robot.stop()

    on(on_robot, "gripper", part)


class Stick:
    """A joystick of the fleet's side: sends its deflection over NATS until it is let go of."""

    def __init__(self, target: FleetTarget) -> None:
        self._target = target
        self.refused = 0

    async def hold(self, **values: float) -> None:
        async with self._target.inputs() as send:
            while True:
                try:
                    await send(values)
                except RefusedError:
                    self.refused += 1  # a busy machine was slower than an input may be old
                await asyncio.sleep(0.02)


def test_the_base_drives_as_it_is_asked_and_stops_when_nobody_asks(on_robot: RunOnRobot) -> None:
    wheels = {"left_wheel": (0.4 - 0.8 * 0.25) / 0.1, "right_wheel": (0.4 + 0.8 * 0.25) / 0.1}

    async def part(robot: Operator) -> None:
        await holds(robot)
        await swings_first_channel(robot, "velocity", error=0.2)
        await robot.run("teleop")
        for sample in await robot.watch(300):
            assert sample.sent == {"left_wheel": 0.0, "right_wheel": 0.0}, "nobody has asked for anything"

        fleet = FleetTarget(robot.session.hub.url, robot.session.robot_id)
        stick = asyncio.create_task(Stick(fleet).hold(forward=0.4, turn=0.8))

        def at_speed(sample: Sample) -> bool:
            return all(
                abs(sample.state[f"{wheel}.velocity"] - speed) < 0.1 for wheel, speed in wheels.items()
            )

        moving = await robot.until("the wheels turn as asked", at_speed)
        assert moving.sent == pytest.approx(wheels)
        stick.cancel()
        await asyncio.gather(stick, return_exceptions=True)
        still = await robot.until("the wheels stop", lambda s: set(s.sent.values()) == {0.0})
        assert still.mode in FOLLOWING, "nobody disarmed: it stopped because the inputs grew old"
        status = await robot.status()
        assert status["counters"]["input_stale"] > 0
        assert status["inputs"]["forward"]["fresh"] is False
        await robot.stop()

    on(on_robot, "diff_drive", part)


def test_inputs_that_are_wrong_or_without_a_token_are_refused(on_robot: RunOnRobot) -> None:
    async def part(robot: Operator) -> None:
        fleet = FleetTarget(robot.session.hub.url, robot.session.robot_id)
        for target in (fleet, robot.session.target):
            async with target.inputs() as send:
                for values, words in (
                    ({"forward": 9.0}, "outside"),
                    ({"upward": 0.1}, "no \\[\\[input\\]\\] named"),
                ):
                    with pytest.raises(RefusedError, match=words):
                        await send(values)
        client = await nats.connect(robot.session.hub.url)
        try:
            subject = f"holdfast.{robot.session.robot_id}.input"
            reply = json.loads((await client.request(subject, b'{"values": {"forward": 0.1}}', 20.0)).data)
        finally:
            await client.close()
        assert not reply["ok"]
        assert "token" in reply["error"]
        assert (await robot.status())["counters"]["input_refused"] == 4

    on(on_robot, "diff_drive", part)
