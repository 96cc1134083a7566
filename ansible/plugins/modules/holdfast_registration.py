#!/usr/bin/python
"""Module `holdfast_registration`: a robot is a member of the fleet at a hub. It runs on the workstation."""

from __future__ import annotations

import asyncio
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: holdfast_registration
short_description: Make a robot a member of the fleet at a hub
description:
  - Asks C(holdfast.ROBOT.status) through the hub until the robot's worker answers.
  - Has the hub gather the robot's telemetry and results, those of the time offline too.
  - In check mode it asks for a moment, changes nothing and reports what it found.
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
- name: Register the robot at the fleet's hub
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


async def register(
    hub_url: str, robot_id: str, timeout_s: float, check_only: bool
) -> tuple[dict[str, Any], bool]:
    """Return the robot's status, asked for through the hub until it answers, and whether the hub had to be changed.

    Raises:
        TimeoutError: it did not answer in time, or the hub could not be reached.
    """
    from holdfast.errors import HoldfastError
    from holdfast.fleet import gather

    async with asyncio.timeout(timeout_s):
        while True:
            try:
                return await gather(hub_url, robot_id, check_only=check_only)
            except HoldfastError:
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
        status, changed = asyncio.run(
            register(module.params["hub_url"], robot_id, timeout_s, module.check_mode)
        )
    except TimeoutError:
        if module.check_mode:
            module.exit_json(changed=False, registered=False)
        module.fail_json(
            msg=f"{robot_id} did not answer through the hub within {timeout_s:g} s: on the robot, look at "
            "`systemctl status holdfast-nats holdfast-worker` and at nats_fleet_url in the inventory",
            registered=False,
        )
    else:
        module.exit_json(changed=changed, registered=True, status=status)


if __name__ == "__main__":
    main()
