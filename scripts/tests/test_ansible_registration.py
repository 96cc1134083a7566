"""The module that waits for a robot, against a real hub."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg
from plugins.modules.holdfast_registration import ask

ANSIBLE = Path(__file__).resolve().parents[2] / "ansible"
BIN = Path(sys.executable).parent


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (tmp_path / "hub.log").open("wb") as log:
        server = subprocess.Popen(
            ["nats-server", "-a", "127.0.0.1", "-p", str(port), "--user", "operator", "--pass", "secret"],
            stderr=log,
        )
        yield f"nats://operator:secret@127.0.0.1:{port}"
        server.terminate()
        server.wait()


def test_it_waits_for_a_robot_that_comes_later(hub: str) -> None:
    async def scenario() -> dict[str, Any]:
        client = await nats.connect(hub)
        # Robots that are there: a deaf one of the right name, and a healthy one of another.
        unanswered = await client.subscribe("holdfast.arm-01.status")
        await client.subscribe("holdfast.arm-02.status", cb=answer_as("arm-02"))
        asking = asyncio.create_task(ask(hub, "arm-01", 60))
        for _ in range(2):
            await unanswered.next_msg(timeout=30)
        await client.subscribe("holdfast.arm-01.status", cb=answer_as("arm-01"))
        try:
            return await asking
        finally:
            await client.close()

    assert asyncio.run(scenario()) == {"robot": "arm-01"}


def answer_as(robot_id: str) -> Callable[[Msg], Awaitable[None]]:
    async def answer(message: Msg) -> None:
        await message.respond(json.dumps({"robot": robot_id}).encode())

    return answer


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
