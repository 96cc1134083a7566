"""The probe's driver when the line, the port, the probe or the host is at fault."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast_bench.probe.driver import Probe
from holdfast_bench.probe.errors import (
    ProbeError,
    ProbeLossError,
    ProbePortError,
    ProbeRestartedError,
    ProbeTimeoutError,
)
from holdfast_bench.probe.firmware import table, wire
from holdfast_bench.probe.simulated import SimulatedProbe

Begin = Callable[..., SimulatedProbe]
PATIENCE_S = 60.0
SAFE = {
    **{name: bool(level) for name, level in table.SAFE_LEVELS.items()},
    "enable_out": False,
    "loop_pin": False,
}

RESEND_S = 1.0
"""After so long a request is sent again; three times."""


@pytest.mark.parametrize("how", ["drop", "corrupt", "truncate", "swap"])
@pytest.mark.parametrize("times", [1, 3], ids=["last", "first"])
def test_a_lost_edge_is_an_error_for_good(world: SimulatedProbe, how: str, times: int) -> None:
    with Probe(world.port, RESEND_S) as probe:
        probe.arm("loop_pin")
        probe.collect()
        world.do("disturb", how=how, kind="!", lines=1)
        world.do("toggle", name="loop_pin", times=times, period_us=500)
        world.advance(5)
        for _ in range(2):
            with pytest.raises(ProbeLossError, match="edges are missing"):
                probe.collect()


def test_a_lost_edge_is_told_at_the_next_request_of_any_kind(world: SimulatedProbe, probe: Probe) -> None:
    probe.arm("loop_pin")
    probe.collect()
    world.do("disturb", how="drop", kind="!", lines=2)
    world.do("toggle", name="loop_pin", times=3, period_us=500)
    world.advance(5)
    with pytest.raises(ProbeLossError, match="events 1 to 2 did not arrive"):
        probe.beat()


def test_an_edge_that_comes_twice_counts_once(world: SimulatedProbe, probe: Probe) -> None:
    probe.arm("loop_pin")
    probe.collect()
    world.do("disturb", how="duplicate", kind="!", lines=2)
    world.do("toggle", name="loop_pin", times=2, period_us=500)
    world.advance(5)
    assert [edge.rising for edge in probe.collect()] == [True, False]
    assert probe.bad_lines == 2


def test_edges_faster_than_the_ring_are_reported_as_lost(begin: Begin) -> None:
    world = begin("--ring", "4")
    with Probe(world.port, PATIENCE_S) as probe:
        probe.arm("loop_pin")
        world.do("toggle", name="loop_pin", times=4, period_us=10)
        world.advance(1, stalled=True)
        assert len(probe.collect()) == 4
        world.do("toggle", name="loop_pin", times=5, period_us=10)
        world.advance(1, stalled=True)
        with pytest.raises(ProbeLossError, match="its ring overflowed"):
            probe.collect()


def test_a_host_that_does_not_read_loses_edges_and_is_told(world: SimulatedProbe, probe: Probe) -> None:
    probe.arm("loop_pin")
    world.do("toggle", name="loop_pin", times=5000, period_us=100)
    world.advance(600)
    with pytest.raises(ProbeLossError, match="its ring overflowed"):
        probe.collect()


def test_a_capture_that_stands_still_is_reported(world: SimulatedProbe, probe: Probe) -> None:
    probe.arm("loop_pin")
    probe.collect()
    world.do("stuck", on=True)
    for _ in range(table.MARK_LIMIT_MS // 1000 - 1):
        world.advance(1000)
        probe.collect()
    world.advance(1000)
    with pytest.raises(ProbeLossError, match="time stamps became ambiguous"):
        probe.collect()


def test_a_restart_is_an_error_until_opened_anew(world: SimulatedProbe, probe: Probe) -> None:
    probe.set("estop_in")
    world.do("restart")
    assert world.levels() == SAFE
    for _ in range(2):
        with pytest.raises(ProbeRestartedError, match=f"was {probe.identity.boot}"):
            probe.set("estop_in")
    assert world.levels() == SAFE
    probe.close()
    with Probe(world.port, PATIENCE_S) as again:
        assert again.identity.boot != probe.identity.boot


def test_a_restart_whose_message_is_lost_is_seen_all_the_same(world: SimulatedProbe, probe: Probe) -> None:
    world.do("disturb", how="drop", kind="!", lines=1)
    world.do("restart")
    with pytest.raises(ProbeRestartedError, match="knows of no session"):
        probe.set("estop_in")
    assert world.levels() == SAFE


@pytest.mark.parametrize(("how", "lines"), [("drop", 2), ("corrupt", 2), ("truncate", 1)])
def test_a_lost_answer_is_asked_for_again(world: SimulatedProbe, how: str, lines: int) -> None:
    with Probe(world.port, RESEND_S) as probe:
        world.do("disturb", how=how, kind="=", lines=lines)
        probe.set("reset")
        assert world.levels() == {**SAFE, "reset": True}


GARBAGE = {
    "nothing": b"\n\n\r\n",
    "binary": bytes(range(256)) + b"\n",
    "huge": b"x" * 20_000 + b"\n",
    "truncated": wire.encode("=", "1", "ok")[:7] + b"\n",
    "wrong checksum": b"= 1 ok*00000000\n",
    "no number": wire.encode("=", "01", "ok"),
    "a number too large": wire.encode("=", "65536", "ok"),
    "no answer": wire.encode("=", "1", "maybe"),
    "unknown refusal": wire.encode("=", "1", "error", "mood"),
    "unknown message": wire.encode("?", "1", "ok"),
    "unknown event": wire.encode("!", "0", "storm"),
    "event of another form": wire.encode("!", "0", "edge", "1"),
    "counter too large": wire.encode("!", "0", "mark", str(1 << table.COUNTER_BITS)),
    "levels too large": wire.encode("!", "0", "edge", "1", "16"),
    "answer to nobody": wire.encode("=", "-", "error", "session"),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_is_counted_and_believed_in_nothing(world: SimulatedProbe, name: str) -> None:
    with Probe(world.port, RESEND_S) as probe:
        probe.arm("loop_pin")
        world.do("send", hex=GARBAGE[name].hex())
        world.do("drive", name="loop_pin", level=1)
        assert [edge.rising for edge in probe.collect()] == [True]
        assert probe.bad_lines > 0
    assert world.levels() == {**SAFE, "loop_pin": True}


def test_a_replayed_answer_is_not_taken_for_another_request(world: SimulatedProbe, probe: Probe) -> None:
    world.do("disturb", how="duplicate", kind="=", lines=1)
    probe.set("reset")
    assert probe.read()["reset"]
    assert probe.bad_lines == 1


def test_a_swapped_answer_is_waited_for(world: SimulatedProbe) -> None:
    with Probe(world.port, RESEND_S) as probe:
        probe.arm("loop_pin")
        probe.collect()
        world.do("disturb", how="swap", kind="=", lines=1)
        world.do("drive", name="loop_pin", level=1)
        probe.beat()
        assert len(probe.collect()) == 1


def test_a_silent_probe_is_an_error_with_a_sentence(world: SimulatedProbe) -> None:
    world.do("deaf", on=True)
    with pytest.raises(
        ProbeTimeoutError, match=rf"{world.port}: no answer to 'hello' within 3 x 0.01 s .* is it a probe"
    ):
        Probe(world.port, 0.01)


def test_a_probe_that_falls_silent_is_an_error_for_good(world: SimulatedProbe) -> None:
    with Probe(world.port, RESEND_S) as probe:
        world.do("deaf", on=True)
        with pytest.raises(ProbeTimeoutError, match="no answer to 'get'"):
            probe.read()
        world.do("deaf", on=False)
        with pytest.raises(ProbeTimeoutError, match="no answer to 'get'"):
            probe.beat()


def test_an_absent_port_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProbePortError, match="does not exist; plug the probe in"):
        Probe(str(tmp_path / "ttyACM0"))


def test_a_port_that_is_none_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(ProbePortError, match="cannot be used as a serial port"):
        Probe(str(file))


def test_a_busy_port_is_named_and_its_session_goes_on(world: SimulatedProbe, probe: Probe) -> None:
    probe.set("estop_in")
    with pytest.raises(ProbePortError, match="is busy; another program has opened it"):
        Probe(world.port)
    assert probe.read()["estop_in"]


def test_an_unplugged_probe_is_an_error(begin: Begin) -> None:
    world = begin()
    with Probe(world.port, PATIENCE_S) as probe:
        world.end()
        with pytest.raises(ProbePortError, match=r"still plugged in|was the probe unplugged"):
            probe.beat()


@pytest.mark.parametrize(
    "request_",
    [
        {"op": "explode"},
        {"op": "disturb", "how": "paint", "kind": "!", "lines": 1},
        {"op": "send", "hex": "x"},
    ],
)
def test_the_simulator_names_a_request_it_cannot_serve(
    world: SimulatedProbe, request_: dict[str, object]
) -> None:
    with pytest.raises(ProbeError, match=f"simulator: {request_['op']}: "):
        world.do(**request_)  # type: ignore[arg-type]
    world.advance(1)
