#!/usr/bin/python
"""Module `holdfast_registration`: a robot answers through the fleet's hub. It runs on the workstation."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: holdfast_registration
short_description: Wait until a robot answers through the fleet's hub
description:
  - Asks C(holdfast.ROBOT.status) through the hub until the robot's worker answers.
  - Changes nothing. In check mode it asks once and reports what it found.
options:
  hub_url:
    description: Client address of the hub, credentials included.
    type: str
    required: true
  robot_id:
    description: The robot's id.
    type: str
    required: true
  timeout_s:
    description: How long to wait.
    type: float
    default: 120
author: Holdfast
"""
EXAMPLES = """
- name: Wait until the robot answers through the fleet's hub
  holdfast_registration:
    hub_url: nats://operator:secret@hub.example:4222
    robot_id: arm-01
  delegate_to: localhost
"""
RETURN = """
registered:
  description: Whether the robot answered.
  type: bool
  returned: always
status:
  description: The robot's status as it gave it.
  type: dict
  returned: when it answered
"""

RETRY_S = 1.0


async def ask(hub_url: str, robot_id: str, timeout_s: float) -> dict[str, Any]:
    """Return the status of the robot, asked for through the hub until it answers.

    Raises:
        TimeoutError: it did not answer in time, or the hub could not be reached.
    """
    import nats
    from nats.errors import Error as NatsError

    async with asyncio.timeout(timeout_s):
        while True:
            try:
                client = await nats.connect(hub_url, allow_reconnect=False, connect_timeout=5)
                try:
                    reply = await client.request(f"holdfast.{robot_id}.status", b"", timeout=RETRY_S)
                    return dict(json.loads(reply.data))
                finally:
                    await client.close()
            except (NatsError, OSError):
                await asyncio.sleep(RETRY_S)


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={
            "hub_url": {"type": "str", "required": True, "no_log": True},
            "robot_id": {"type": "str", "required": True},
            "timeout_s": {"type": "float", "default": 120.0},
        },
        supports_check_mode=True,
    )
    robot_id = module.params["robot_id"]
    timeout_s = RETRY_S * 3 if module.check_mode else module.params["timeout_s"]
    try:
        status = asyncio.run(ask(module.params["hub_url"], robot_id, timeout_s))
    except TimeoutError:
        if module.check_mode:
            module.exit_json(changed=False, registered=False)
        module.fail_json(
            msg=f"{robot_id} did not answer through the hub within {timeout_s:g} s: on the robot, look at "
            "`systemctl status holdfast-nats holdfast-worker` and at nats_fleet_url in the inventory",
            registered=False,
        )
    else:
        module.exit_json(changed=False, registered=True, status=status)


if __name__ == "__main__":
    main()
