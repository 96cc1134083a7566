"""Language models on the robot: what Ollama may take, who reaches it, and that the robot does without it."""

from __future__ import annotations

import pytest

from holdfast_bench.bench import Bench
from holdfast_bench.play_scenario import play_on
from holdfast_bench.scenarios import load_scenario, scenario_files

pytestmark = pytest.mark.needs("ollama")


def said(bench: Bench, command: str) -> str:
    """Return what a shell command on the robot prints."""
    return bench.robot.shell.run(command).stdout.strip()


@pytest.mark.needs("fresh-machine")
def test_a_model_answers_and_the_robot_does_not_notice_when_it_is_gone(bench: Bench) -> None:
    result = play_on(bench, load_scenario(scenario_files()["ollama-gone"]))
    bench.robot.disarm()
    told = [event["event"] for event in result["events"] if event["event"].startswith("model ")]
    # A slow machine may be frozen before it has come back from its death.
    assert told[0] == told[-1] == "model answers"
    assert "model is silent" in told
    assert 0 < result["model_answered"] < result["model_asked"]


def test_it_may_not_take_what_the_robot_needs(bench: Bench) -> None:
    keys = ("CPUSchedulingPolicy", "CPUWeight", "Nice", "OOMScoreAdjust")
    shown = [said(bench, f"systemctl show holdfast-ollama --value --property {key}") for key in keys]
    assert shown == ["0", "20", "10", "800"]
    group = "/sys/fs/cgroup$(systemctl show -P ControlGroup holdfast-ollama)"
    limit, total = said(
        bench, f"cat {group}/memory.max && awk '/^MemTotal/ {{ print $2 * 1024 }}' /proc/meminfo"
    ).split()
    assert int(limit) < 0.65 * int(total)
    assert said(bench, f"cat {group}/memory.swap.max") == "0"
    bench.robot.shell.run("systemd-analyze security --no-pager --threshold=29 holdfast-ollama.service")


def test_nobody_outside_reaches_it(bench: Bench) -> None:
    listening = said(bench, "ss --no-header --listening --numeric --tcp 'sport = 11434'").split()
    assert "127.0.0.1:11434" in listening
    assert not any(address.endswith(":11434") and not address.startswith("127.") for address in listening)
