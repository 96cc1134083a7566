"""A robot is reset: what it has stored is gone, and its version is what it was before, proved and replaceable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.session import RELAXED, env_lines
from holdfast_bench.qemu import Vm
from holdfast_bench.robot import wait_until
from holdfast_bench.updates import Updated
from holdfast_bench.vm_session import SLOWER
from holdfast_image.build import build_image, repository_root

pytestmark = [pytest.mark.vm, pytest.mark.needs("fresh-machine")]
BOOT_LIMIT_S = 900.0
STORED = "/etc/holdfast/stored /var/lib/holdfast/stored /root/stored"


@pytest.fixture(scope="module")
def vm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vm]:
    image = build_image(repository_root(Path(__file__).parent))
    credentials = {"holdfast.env": env_lines(RELAXED | SLOWER), "holdfast.robot-id": "arm-42"}
    with Vm(image, tmp_path_factory.mktemp("factory-reset") / "vm", credentials=credentials) as vm:
        vm.on()
        vm.wait_for_unit("boot-complete.target", BOOT_LIMIT_S)
        yield vm


def test_a_reset_robot_is_as_after_its_first_boot(vm: Vm) -> None:
    robot, shell = Updated(vm.shell), vm.shell
    wait_until("the version has proved itself", robot.settled, BOOT_LIMIT_S)
    wait_until("this start has come to its end", robot.started, BOOT_LIMIT_S)
    before, boot = robot.status(), robot.boot_id()
    machine = shell.run("cat /etc/machine-id").stdout
    key = shell.run("cat /etc/ssh/ssh_host_ed25519_key.pub").stdout
    assert before["boot_loader_counts"]
    assert not before["factory_reset"]
    shell.run(f"touch {STORED} && sync")

    asked = shell.run("holdfast os factory-reset --yes --json", limit_s=BOOT_LIMIT_S)
    assert json.loads(asked.stdout) == {"ok": True, "factory_reset": True}
    assert robot.status()["factory_reset"]
    shell.run("systemctl reboot", check=False)

    def came_back() -> bool:
        # With a host key of its own: it is not the one that this workstation knows.
        shell.known_hosts.unlink(missing_ok=True)
        return robot.boot_id() not in ("", boot)

    wait_until("the robot has started anew", came_back, BOOT_LIMIT_S)
    vm.wait_for_unit("holdfast.target", BOOT_LIMIT_S)
    wait_until("this start has come to its end", robot.started, BOOT_LIMIT_S)
    assert shell.run(f"ls {STORED}", check=False).stdout == ""
    new_machine = shell.run("cat /etc/machine-id").stdout
    assert len(new_machine.strip()) == 32
    assert new_machine != machine
    assert shell.run("cat /etc/ssh/ssh_host_ed25519_key.pub").stdout != key
    assert 'id = "arm-42"' in shell.run("cat /etc/holdfast/robot.toml").stdout
    assert robot.status() == before
    assert shell.run("systemctl list-units --state=failed --plain --no-legend").stdout == ""
    drive = shell.run("lsblk -no PKNAME $(findmnt -no SOURCE /var)").stdout.strip()
    labels = shell.run(f"lsblk -nro PARTLABEL /dev/{drive}").stdout.split()
    assert labels.count("holdfast-data") == 1
    # What it stores from now on stays.
    shell.run(f"touch {STORED} && sync")
    vm.cut()
    vm.on()
    vm.wait_for_unit("holdfast.target", BOOT_LIMIT_S)
    assert sorted(shell.run(f"ls {STORED}").stdout.split()) == sorted(STORED.split())
    assert shell.run("cat /etc/machine-id").stdout == new_machine
    assert int(shell.run("findmnt -bno SIZE /var").stdout) > 2 << 30
