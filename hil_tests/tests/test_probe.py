"""The probe's driver against a simulated probe, in a process of its own on a real pseudo-terminal."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from holdfast_bench.cli import bench as bench_command
from holdfast_bench.open_bench import probe_at
from holdfast_bench.probe import protocol
from holdfast_bench.probe.capture import Edge
from holdfast_bench.probe.driver import Probe
from holdfast_bench.probe.errors import (
    ProbeFirmwareError,
    ProbeLossError,
    ProbeRefusedError,
    ProbeRestartedError,
    ProbeSilenceError,
)
from holdfast_bench.probe.firmware import table
from holdfast_bench.probe.simulated import SimulatedProbe

Begin = Callable[..., SimulatedProbe]
PATIENCE_S = 60.0
SAFE = {
    **{name: bool(level) for name, level in table.SAFE_LEVELS.items()},
    "enable_out": False,
    "loop_pin": False,
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "bench-probe.md"


def test_a_session_begins_with_this_trees_firmware_and_safe_outputs(
    world: SimulatedProbe, probe: Probe
) -> None:
    assert probe.identity.hash == protocol.expected_hash()
    assert (probe.identity.protocol, probe.identity.version) == (table.PROTOCOL, table.VERSION)
    assert probe.read() == SAFE


def test_the_simulator_runs_by_the_real_clock_too(begin: Begin) -> None:
    world = begin("--clock", "real", "--wire", "reset:enable_out:1")
    with Probe(world.port, PATIENCE_S) as probe:
        probe.set("reset")
        while not probe.read()["enable_out"]:
            pass
        assert world.do("state")["clock_ns"] > 0


def test_outputs_follow_and_inputs_are_read(world: SimulatedProbe, probe: Probe) -> None:
    for output in table.OUTPUTS:
        probe.set(output)
        assert probe.read()[output]
        assert world.levels()[output]
        probe.clear(output)
        assert not world.levels()[output]
    world.do("drive", name="enable_out", level=1)
    assert probe.read() == {**SAFE, "power": False, "enable_out": True}


def test_what_the_probe_refuses_changes_nothing_and_the_session_goes_on(
    world: SimulatedProbe, probe: Probe
) -> None:
    with pytest.raises(ProbeRefusedError, match="does not take such an argument"):
        probe.set("enable_out")
    with pytest.raises(ProbeRefusedError, match="does not take such an argument"):
        probe.arm("estop_in", "reset")
    for name in ("", "x" * table.LINE_LIMIT, "estop in", "estop_in\n", "\0", "é"):
        with pytest.raises(ProbeRefusedError, match="cannot be sent"):
            probe.set(name)
    probe.beat()
    assert world.levels() == SAFE


def test_reaction_is_the_time_between_two_edges_of_one_clock(begin: Begin) -> None:
    world = begin("--wire", "estop_in:enable_out:800")
    with Probe(world.port, PATIENCE_S) as probe:
        probe.arm("estop_in", "enable_out")
        probe.set("estop_in")
        world.advance(5)
        assert [(edge.channel, edge.rising) for edge in probe.collect()] == [
            ("estop_in", True),
            ("enable_out", True),
        ]
        probe.clear("estop_in")
        assert [edge.channel for edge in probe.collect()] == ["estop_in"]  # the robot has not reacted yet
        world.advance(0.8)
        (reaction,) = probe.disarm()
        assert (reaction.channel, reaction.rising) == ("enable_out", False)
        assert abs(reaction.time_ns - 5_800_000) <= table.TICK_NS


def test_a_wire_of_the_robot_can_be_plugged_in_and_invert(world: SimulatedProbe, probe: Probe) -> None:
    world.do("wire", source="reset", target="enable_out", delay_us=10, inverted=True)
    world.do("drive", name="enable_out", level=1)
    probe.arm("enable_out")
    probe.set("reset")
    world.advance(1)
    assert [(edge.channel, edge.rising) for edge in probe.collect()] == [("enable_out", False)]


def test_only_armed_channels_are_told(world: SimulatedProbe, probe: Probe) -> None:
    probe.arm("loop_pin")
    world.do("drive", name="enable_out", level=1)
    world.do("toggle", name="loop_pin", times=10, period_us=500)
    world.advance(6)
    edges = probe.collect()
    assert {edge.channel for edge in edges} == {"loop_pin"}
    assert [edge.rising for edge in edges] == [True, False] * 5
    assert all(abs(edge.time_ns - 500_000 * n) <= table.TICK_NS for n, edge in enumerate(edges, 1))


def test_arming_anew_begins_at_zero_and_forgets(world: SimulatedProbe, probe: Probe) -> None:
    probe.arm("loop_pin")
    world.do("drive", name="loop_pin", level=1)
    world.advance(500)
    probe.arm("loop_pin")
    world.do("drive", name="loop_pin", level=0)
    assert probe.disarm() == [Edge("loop_pin", False, 0)]


@pytest.mark.parametrize("counter", [0, protocol.COUNTER_MODULUS - 5])
def test_the_counter_wraps_and_the_time_goes_on(begin: Begin, counter: int) -> None:
    world = begin("--counter", str(counter))
    with Probe(world.port, PATIENCE_S) as probe:
        probe.arm("loop_pin")
        world.do("toggle", name="loop_pin", times=2, period_us=40_000_000)  # more than two wraps apart
        for _ in range(81):
            world.advance(1000)
            probe.beat()
        edges = probe.collect()
    assert [edge.rising for edge in edges] == [True, False]
    assert all(abs(edge.time_ns - 40_000_000_000 * n) <= table.TICK_NS for n, edge in enumerate(edges, 1))


def test_edges_need_an_armed_capture(world: SimulatedProbe, probe: Probe) -> None:
    with pytest.raises(ProbeLossError, match="nothing is armed"):
        probe.collect()
    probe.arm("loop_pin")
    probe.disarm()
    with pytest.raises(ProbeLossError, match="nothing is armed"):
        probe.collect()


def test_silence_of_the_host_opens_the_contact(world: SimulatedProbe, probe: Probe) -> None:
    probe.set("estop_in")
    probe.clear("power")
    probe.set("reset")
    world.advance(table.SILENCE_MS - 1)
    assert world.levels()["estop_in"]
    world.advance(1)
    assert world.levels() == SAFE
    for _ in range(2):
        with pytest.raises(ProbeSilenceError, match="made its outputs safe"):
            probe.beat()
    assert world.levels() == SAFE


def test_heartbeats_keep_the_contact_closed(world: SimulatedProbe, probe: Probe) -> None:
    probe.set("estop_in")
    for _ in range(5):
        world.advance(table.SILENCE_MS - 1)
        probe.beat()
    assert world.levels()["estop_in"]


def test_the_contact_opens_though_the_firmware_hangs(world: SimulatedProbe, probe: Probe) -> None:
    probe.set("estop_in")
    world.advance(table.SILENCE_MS, stalled=True)
    assert not world.levels()["estop_in"]
    with pytest.raises(ProbeSilenceError):
        probe.set("estop_in")
    assert world.levels() == SAFE


def test_closing_opens_the_contact_at_once(world: SimulatedProbe) -> None:
    with Probe(world.port, PATIENCE_S) as probe:
        probe.set("estop_in")
    assert world.levels() == SAFE


def _wait_for_a_request(world: SimulatedProbe, after: str = "state") -> None:
    world.do(after)
    before = world.received()
    while world.received() == before:
        pass


def test_keep_alive_sends_heartbeats_until_its_end(world: SimulatedProbe, probe: Probe) -> None:
    probe.set("estop_in")
    with probe.keep_alive(PATIENCE_S):
        for _ in range(2):
            world.advance(table.SILENCE_MS - 1)
            _wait_for_a_request(world)
    assert probe.read()["estop_in"]


def test_keep_alive_ends_with_its_limit(world: SimulatedProbe, probe: Probe) -> None:
    probe.set("estop_in")
    with probe.keep_alive(limit_s=0):
        threads = [thread for thread in threading.enumerate() if thread.name == "probe-keep-alive"]
        for thread in threads:
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
        world.advance(table.SILENCE_MS)
    assert not world.levels()["estop_in"]


def test_keep_alive_tells_of_a_heartbeat_that_failed(world: SimulatedProbe, probe: Probe) -> None:
    with pytest.raises(ProbeRestartedError), probe.keep_alive(PATIENCE_S):
        _wait_for_a_request(world, after="restart")


@pytest.mark.parametrize(
    ("option", "what"),
    [(("--hash", "0" * 64), "hash"), (("--version", "0.9.9"), "version"), (("--protocol", "2"), "protocol")],
)
def test_other_firmware_is_refused_with_the_way_out(begin: Begin, option: tuple[str, str], what: str) -> None:
    world = begin(*option)
    with pytest.raises(ProbeFirmwareError, match=f"has {what} {option[1]}, this tree's has") as caught:
        Probe(world.port, PATIENCE_S)
    assert protocol.flash_command(world.port) in str(caught.value)


def test_an_identity_of_another_form_is_refused(begin: Begin) -> None:
    world = begin("--hash", "abc")
    with pytest.raises(ProbeFirmwareError, match="hash is not of 64 hexadecimal digits"):
        Probe(world.port, PATIENCE_S)


def test_a_bench_tells_which_probe_it_has(world: SimulatedProbe) -> None:
    said = probe_at(world.port, PATIENCE_S)
    assert said == f"firmware {table.VERSION}, {protocol.expected_hash()}, at {world.port}"
    assert world.levels() == SAFE


def test_a_bench_refuses_a_probe_with_other_firmware(begin: Begin) -> None:
    world = begin("--hash", "0" * 64)
    with pytest.raises(ProbeFirmwareError, match="this tree's has"):
        probe_at(world.port, PATIENCE_S)


def test_flashing_is_documented_as_the_errors_say() -> None:
    assert protocol.flash_command("/dev/ttyACM0") in DOCUMENT.read_text()


def test_the_command_shows_probe_and_levels(world: SimulatedProbe) -> None:
    shown = CliRunner().invoke(bench_command, ["probe", "--port", world.port])
    assert shown.exit_code == 0
    assert protocol.expected_hash() in shown.output
    as_json = CliRunner().invoke(bench_command, ["probe", "--port", world.port, "--json"])
    assert json.loads(as_json.output)["levels"] == SAFE


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_the_command_fails_with_a_sentence(flags: tuple[str, ...], tmp_path: Path) -> None:
    failed = CliRunner().invoke(bench_command, ["probe", "--port", str(tmp_path / "none"), *flags])
    assert failed.exit_code == 1
    assert "does not exist" in failed.output
