"""A freshly booted image becomes a registered robot over ssh, and a second run changes nothing."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from holdfast.broker import Hub, start_broker
from holdfast.modes import FOLLOWING
from holdfast.session import RELAXED
from holdfast_bench.qemu import Vm
from holdfast_bench.vm_session import HOST_FROM_INSIDE, SLOWER
from holdfast_image.build import build_image, repository_root

pytestmark = pytest.mark.needs("fresh-machine")

ROOT = repository_root(Path(__file__).parent)
BIN = Path(sys.executable).parent
TOOLS = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
"""For programs that call Ansible's by name."""
ROBOT = "arm-42"
ENVIRONMENT = {**RELAXED, **SLOWER}


@dataclass(frozen=True)
class Run:
    """One run of the playbook."""

    code: int
    output: str

    def recap(self, what: str) -> int:
        """Return a number of the robot's line in the recap: changed, failed, ok."""
        found = re.search(rf"^{ROBOT}\s.*\b{what}=(\d+)", self.output, re.MULTILINE)
        assert found is not None, self.output
        return int(found[1])


@dataclass(frozen=True)
class Workstation:
    """Where the playbook runs: an inventory of one robot, the hub, and the fleet's repository."""

    folder: Path
    vm: Vm
    hub: Hub

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.json"

    def write_inventory(self) -> None:
        options = f"-o UserKnownHostsFile={self.vm.shell.known_hosts} -o HostKeyAlias=robot"
        host = {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.vm.shell.port,
            "ansible_user": "admin",
            "ansible_ssh_private_key_file": str(self.vm.shell.key),
            "ansible_ssh_common_args": f"{options} -o StrictHostKeyChecking=accept-new",
            "identity_authorized_keys": [self.vm.shell.public_key().strip()],
            "nats_fleet_url": f"nats-leaf://{HOST_FROM_INSIDE}:{self.hub.leaf_port}",
            "nats_fleet_user": "robot",
            "nats_fleet_password": self.hub.password,
            "nats_hub_url": self.hub.url,
            "ota_root_file": str(self.folder / "ota/repository/metadata/1.root.json"),
            "ota_settings": {"controller": "motion", "poll_s": 30.0},
            "robot_file": str(ROOT / "examples/robots/arm.toml"),
            "robot_environment": {"HOLDFAST_WORKER__MAX_TASKS": "2", **ENVIRONMENT},
        }
        self.inventory.write_text(json.dumps({"robots": {"hosts": {ROBOT: host}}}, indent=2))

    def play(self, *arguments: str) -> Run:
        """Run the playbook."""
        done = subprocess.run(
            [f"{BIN}/ansible-playbook", "provision.yml", "-i", str(self.inventory), *arguments],
            cwd=ROOT / "ansible",
            env={**TOOLS, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_HOME": str(self.folder / "ansible-home")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Run(done.returncode, done.stdout + done.stderr)


def init_repository(folder: Path) -> None:
    """Make a fleet's TUF repository."""
    subprocess.run([f"{BIN}/holdfast", "ota", "init", str(folder)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def workstation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    folder = tmp_path_factory.mktemp("provisioning")
    init_repository(folder / "ota")
    hub = Hub(folder / "hub", leaf_seen_as=HOST_FROM_INSIDE)
    environment = "".join(f"{name}={value}\n" for name, value in ENVIRONMENT.items())
    with (
        asyncio.Runner() as runner,
        Vm(build_image(ROOT), folder / "vm", credentials={"holdfast.env": environment}) as vm,
    ):
        server = runner.run(start_broker(hub, folder / "hub.log"))
        try:
            vm.on()
            vm.wait_for_unit("holdfast.target")
            station = Workstation(folder, vm, hub)
            station.write_inventory()
            yield station
        finally:
            runner.run(server.stop())


@pytest.fixture(scope="module")
def provisioned(workstation: Workstation) -> Run:
    """The first run on the fresh robot."""
    return workstation.play()


def ask(vm: Vm, command: str) -> dict[str, Any]:
    return dict(json.loads(vm.shell.run(command).stdout))


def test_check_mode_announces_changes_and_makes_none(workstation: Workstation) -> None:
    before = workstation.vm.shell.run("hostname; cat /etc/holdfast/robot.toml; ls /etc/holdfast").stdout
    run = workstation.play("--check", "--tags", "robot")
    assert run.code == 0, run.output
    assert run.recap("changed") > 0
    after = workstation.vm.shell.run("hostname; cat /etc/holdfast/robot.toml; ls /etc/holdfast").stdout
    assert after == before


def test_a_fresh_image_becomes_a_registered_robot(provisioned: Run) -> None:
    assert provisioned.code == 0, provisioned.output
    assert provisioned.recap("failed") == 0
    assert provisioned.recap("changed") > 0


def test_a_second_run_changes_nothing(provisioned: Run, workstation: Workstation) -> None:
    assert provisioned.code == 0
    run = workstation.play()
    assert run.code == 0, run.output
    assert run.recap("changed") == 0, run.output


def test_the_robot_passes_its_own_checks(provisioned: Run, workstation: Workstation) -> None:
    assert provisioned.code == 0
    done = subprocess.run(
        [
            *(f"{BIN}/pytest", "-q", "-p", "no:cacheprovider", "ansible/tests/test_robot.py"),
            *("--hosts=ansible://robots", f"--ansible-inventory={workstation.inventory}", "--sudo"),
        ],
        cwd=ROOT,
        env=TOOLS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_robot_that_is_armed_is_left_alone(provisioned: Run, workstation: Workstation) -> None:
    assert provisioned.code == 0
    shell = workstation.vm.shell
    controller = ROOT / "examples/controllers/sine.wat"
    subprocess.run(
        ["scp", *shell.options(), "-P", str(shell.port), str(controller), "root@127.0.0.1:/run/sine.wat"],
        check=True,
    )
    shell.run("holdfast robot deploy --robot local /run/sine.wat")
    shell.run("holdfast robot arm --robot local")
    before = shell.run("cat /etc/holdfast/robot.toml").stdout

    changed = json.dumps({"ota_settings": {"controller": "motion", "poll_s": 31.0}})
    run = workstation.play("--tags", "robot", "-e", changed)

    assert run.code != 0
    assert f"{ROBOT} is armed" in run.output
    assert "Disarm it first" in run.output
    assert shell.run("cat /etc/holdfast/robot.toml").stdout == before
    assert ask(workstation.vm, "holdfast robot status --robot local --json")["control"]["mode"] in FOLLOWING
    shell.run("holdfast robot disarm --robot local")


def test_another_fleets_root_is_refused_and_what_was_written_before_counts(
    provisioned: Run, workstation: Workstation, tmp_path: Path
) -> None:
    """A hub's address that changed counts now: at the next run nothing would tell that the broker does not know it."""
    assert provisioned.code == 0
    subprocess.run(
        [f"{BIN}/holdfast", "ota", "init", str(tmp_path / "other")], check=True, capture_output=True
    )
    other = tmp_path / "other/repository/metadata/1.root.json"
    same_hub = f"nats://{HOST_FROM_INSIDE}:{workstation.hub.leaf_port}"
    broker = "systemctl show --property=InvocationID --value holdfast-nats.service"
    before = workstation.vm.shell.run(broker).stdout
    changed = json.dumps({"ota_root_file": str(other), "nats_fleet_url": same_hub})
    run = workstation.play("--tags", "nats,ota", "-e", changed)
    assert run.code != 0
    assert "trusts another root" in run.output
    assert workstation.vm.shell.run(broker).stdout != before
