"""What a provisioned robot looks like from its own shell.

Run it against the robots of an inventory:

    .venv/bin/pytest ansible/tests --hosts=ansible://robots --ansible-inventory=ansible/inventory/example.yml --sudo
"""

from __future__ import annotations

import json
import tomllib
from typing import Any, Protocol

import pytest


class Host(Protocol):
    """The part of testinfra's host that is used here (testinfra carries no types)."""

    def __getattr__(self, name: str) -> Any: ...


SERVICES = ("holdfast-safety", "holdfast-control", "holdfast-worker", "holdfast-nats")


@pytest.fixture(scope="module")
def inventory(host: Host) -> dict[str, Any]:
    """What the inventory says about this robot."""
    return dict(host.ansible.get_variables())


@pytest.fixture(scope="module")
def robot_toml(host: Host) -> dict[str, Any]:
    return tomllib.loads(host.file("/etc/holdfast/robot.toml").content_string)


def test_no_unit_has_failed(host: Host) -> None:
    assert host.check_output("systemctl --failed --no-legend --plain") == ""


@pytest.mark.parametrize("name", SERVICES)
def test_the_service_runs(host: Host, name: str) -> None:
    assert host.service(name).is_running


def test_the_robot_comes_up_with_the_machine(host: Host) -> None:
    assert host.check_output("systemctl is-active holdfast.target") == "active"
    assert host.check_output("systemctl is-enabled holdfast.target") == "enabled"


@pytest.mark.parametrize(
    ("process", "user"),
    [
        ("holdfast-safety", "holdfast-safety"),
        ("holdfast-control", "holdfast-control"),
        ("holdfast-worker", "holdfast-worker"),
    ],
)
def test_each_daemon_runs_as_its_own_user(host: Host, process: str, user: str) -> None:
    pid = host.check_output(f"systemctl show --property=MainPID --value {process}.service")
    assert host.check_output(f"stat --format=%U /proc/{pid}") == user


@pytest.mark.parametrize(
    ("path", "owner", "group", "mode"),
    [
        ("/etc/holdfast/robot.toml", "root", "root", 0o644),
        ("/etc/holdfast/env", "root", "holdfast", 0o640),
        ("/etc/holdfast/ota/root.json", "root", "root", 0o644),
        ("/etc/ssh/sshd_config.d/20-hardening.conf", "root", "root", 0o644),
        ("/etc/ansible/facts.d/holdfast.fact", "root", "root", 0o644),
        ("/var/lib/admin/.ssh/authorized_keys", "admin", "admin", 0o600),
    ],
)
def test_the_file_has_its_owner_and_mode(host: Host, path: str, owner: str, group: str, mode: int) -> None:
    file = host.file(path)
    assert (file.user, file.group, file.mode) == (owner, group, mode)


def test_the_robot_knows_who_it_is(host: Host, inventory: dict[str, Any], robot_toml: dict[str, Any]) -> None:
    robot_id = inventory["inventory_hostname"]
    assert host.check_output("hostname") == robot_id
    assert host.check_output("cat /etc/hostname") == robot_id
    assert robot_toml["robot"]["id"] == robot_id
    facts = json.loads(host.file("/etc/ansible/facts.d/holdfast.fact").content_string)
    assert facts["robot_id"] == robot_id


def test_robot_toml_holds_the_inventorys_settings(
    inventory: dict[str, Any], robot_toml: dict[str, Any]
) -> None:
    settings = inventory.get("ota_settings", {})
    assert {key: robot_toml["ota"][key] for key in settings} == settings


def test_robot_toml_is_accepted_by_both_readers(host: Host) -> None:
    assert host.run("holdfast-control --check /etc/holdfast/robot.toml").rc == 0
    assert host.run("holdfast robot check /etc/holdfast/robot.toml").rc == 0


def test_the_daemons_run_with_what_robot_toml_says(host: Host, robot_toml: dict[str, Any]) -> None:
    status = json.loads(host.check_output("holdfast robot status --robot local --json"))
    assert status["robot"] == robot_toml["robot"]["id"]
    # The cause before the mode: it says why, where "estop" says only that.
    assert status["safety"]["cause"] == "none"
    assert status["control"]["mode"] == "disarmed"
    assert status["safety"]["latched"] is False


def test_the_link_to_the_fleet_is_up(host: Host) -> None:
    read = (
        "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8222/leafz').read().decode())"
    )
    assert json.loads(host.check_output(f'python3 -c "{read}"'))["leafnodes"] >= 1


def test_only_ssh_and_the_page_listen_outside(host: Host) -> None:
    outside = {
        socket
        for socket in host.socket.get_listening_sockets()
        if socket.startswith("tcp://") and not socket.startswith(("tcp://127.", "tcp://::1:"))
    }
    assert outside
    assert all(socket.endswith((":22", ":80")) for socket in outside)


def test_nobody_logs_in_by_password(host: Host) -> None:
    effective = dict(line.split(" ", 1) for line in host.check_output("sshd -T").splitlines() if " " in line)
    assert effective["passwordauthentication"] == "no"
    assert effective["kbdinteractiveauthentication"] == "no"
    # The bench variant lets root in, by key.
    bench = host.file("/etc/ssh/sshd_config.d/05-bench.conf").exists
    assert effective["permitrootlogin"] in ({"prohibit-password", "without-password"} if bench else {"no"})
    assert host.check_output("passwd --status root").split()[1] == "L"


def test_the_credentials_of_the_link_are_not_readable_by_others(
    host: Host, inventory: dict[str, Any]
) -> None:
    secret = host.file("/etc/holdfast/fleet.conf")
    assert (secret.user, secret.mode) == ("root", 0o600)
    assert inventory["nats_fleet_password"] in secret.content_string
