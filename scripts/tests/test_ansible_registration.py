"""The module that waits for a robot, against a real hub."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg
from plugins.modules.holdfast_registration import register

from holdfast.broker import Hub, start_broker

ANSIBLE = Path(__file__).resolve().parents[2] / "ansible"
BIN = Path(sys.executable).parent


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    hub = Hub(tmp_path / "hub", password="secret")  # noqa: S106
    with asyncio.Runner() as runner:
        server = runner.run(start_broker(hub, tmp_path / "hub.log"))
        yield hub.url
        runner.run(server.stop())


def test_it_waits_for_a_robot_that_comes_later_and_has_the_hub_gather_from_it(hub: str) -> None:
    ready = {"ok": True, "robot": "arm-01", "worker": {"jetstream_domain": "arm-01-0a1b2c3d"}}
    answers = [
        {"ok": False, "error": "not yet"},
        {**ready, "worker": {"jetstream_domain": None}},
        ready,
    ]

    async def answer(message: Msg) -> None:
        now = answers.pop(0) if len(answers) > 1 else answers[0]
        await message.respond(json.dumps(now).encode())

    async def scenario() -> list[bool]:
        client = await nats.connect(hub)
        await client.subscribe("holdfast.arm-01.status", cb=answer)
        changes = []
        for check_only in (True, False, False):
            status, changed = await register(hub, "arm-01", 60, check_only)
            assert status["robot"] == "arm-01"
            changes.append(changed)
        config = (await client.jetstream().stream_info("FLEET_RESULTS")).config
        followed = [source.external for source in config.sources or []]
        assert [origin.api for origin in followed if origin] == ["$JS.arm-01-0a1b2c3d.API"]
        await client.close()
        return changes

    assert asyncio.run(scenario()) == [True, True, False]


PLAYBOOK = """
- hosts: localhost
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - holdfast_registration:
        hub_url: "{{ hub }}"
        robot_id: arm-01
        timeout_s: 0.5
      register: answer
    - debug:
        var: answer.registered
"""


def play(hub: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "play.yml").write_text(PLAYBOOK)
    (folder / "vars.json").write_text(json.dumps({"hub": hub}))
    return subprocess.run(
        [f"{BIN}/ansible-playbook", f"{folder}/play.yml", "-e", f"@{folder}/vars.json", *arguments],
        cwd=ANSIBLE,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_robot_that_never_comes_is_named_with_where_to_look(hub: str, tmp_path: Path) -> None:
    done = play(hub, tmp_path)
    assert done.returncode != 0
    assert "arm-01 did not answer through the hub within 0.5 s" in done.stdout
    assert "nats_fleet_url" in done.stdout
    assert "secret" not in done.stdout + done.stderr


def test_check_mode_reports_and_does_not_fail(hub: str, tmp_path: Path) -> None:
    done = play(hub, tmp_path, "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"answer.registered\W+false", done.stdout)
