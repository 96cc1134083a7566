"""The image as it runs, and the machine it runs on."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast_bench.bench import Bench
from holdfast_bench.qemu import MachineError
from holdfast_bench.robot import PYTHON, wait_until
from holdfast_image.build import build_image, repository_root

pytestmark = pytest.mark.vm
_UPDATE_UNITS = (
    "systemd-sysupdate.timer",
    "systemd-sysupdate.service",
    "systemd-sysupdate-reboot.timer",
    "systemd-sysupdate-reboot.service",
)


def said(bench: Bench, command: str) -> str:
    return bench.robot.shell.run(command).stdout.strip()


def test_kernel_is_realtime_and_lets_loops_run(bench: Bench) -> None:
    assert "PREEMPT_RT" in said(bench, "cat /proc/version").split()
    assert said(bench, "cat /proc/sys/kernel/sched_rt_runtime_us") == "-1"


def test_the_robot_finds_itself_set_up_as_the_image_has_it(bench: Bench) -> None:
    told = json.loads(bench.robot.shell.run("holdfast robot check --json", check=False).stdout)
    findings = {finding["what"]: finding for finding in told["machine"]}
    assert findings.keys() >= {"kernel.sched_rt_runtime_us", "processor frequency", "core"}
    # What the core finds of an emulated clock is not the image's to mend.
    assert [finding for what, finding in findings.items() if what != "core" and not finding["ok"]] == []


def test_loops_have_their_policies_and_locked_memory(bench: Bench) -> None:
    threads = said(
        bench, "ps -eLo cls,rtprio,comm --no-headers | awk '$1 == \"FF\" {print $2, $3}'"
    ).splitlines()
    priorities = {int(thread.split()[0]) for thread in threads if "holdfast" in thread or "tier" in thread}
    assert {90, 95} <= priorities, threads
    locked = said(
        bench, "awk '/VmLck/ {print $2}' /proc/$(systemctl show -P MainPID holdfast-control)/status"
    )
    assert int(locked) > 0


def test_nothing_but_ssh_and_the_page_listens_outside(bench: Bench) -> None:
    listening = said(bench, "ss -lntuH | awk '{print $1, $5}'").splitlines()
    outside = [place for place in listening if not place.split()[1].startswith(("127.", "[::1]"))]
    # The DHCP client's answers come to port 68.
    assert {(place.split()[0], place.rsplit(":", 1)[1]) for place in outside} - {("udp", "68")} == {
        ("tcp", "22"),
        ("tcp", "80"),
        ("udp", "5353"),
    }


_NEIGHBOUR = (
    "ip netns exec neighbour python3 -c 'import socket; socket.create_connection((\"192.0.2.1\", %d), %d)'"
)
_NEIGHBOUR_COMES = """
ip netns add neighbour &&
ip link add here type veth peer name there netns neighbour &&
ip address add 192.0.2.1/24 dev here && ip link set here up &&
ip -n neighbour address add 192.0.2.2/24 dev there && ip -n neighbour link set there up
"""


_READ_PAGE = (
    "ip netns exec neighbour python3 -c 'import urllib.request; "
    'print(urllib.request.urlopen("http://192.0.2.1/", timeout=120).read().decode())\''
)


def test_a_neighbour_gets_to_ssh_and_the_page_and_nothing_else(bench: Bench) -> None:
    def refused() -> int:
        listed = json.loads(said(bench, "nft --json list counter inet holdfast refused"))
        return int(listed["nftables"][-1]["counter"]["packets"])

    shell = bench.robot.shell
    shell.run(_NEIGHBOUR_COMES)
    try:
        shell.run(_NEIGHBOUR % (22, 60))
        wait_until("the robot has told of itself", lambda: said(bench, "ls /run/holdfast-console"))
        shown = said(bench, _READ_PAGE)
        assert said(bench, "sed -n 's/^id = \"\\(.*\\)\"/\\1/p' /etc/holdfast/robot.toml") in shown
        assert "ssh admin@192.0.2.1" in shown or "example robot" in shown
        before = refused()
        shell.run("systemd-run --quiet --unit=bench-open python3 -m http.server 8080")
        wait_until("somebody listens", lambda: "8080" in said(bench, "ss -lntH"))
        assert shell.run(_NEIGHBOUR % (8080, 5), check=False).returncode != 0
        assert refused() > before
    finally:
        shell.run("systemctl stop bench-open; ip netns delete neighbour", check=False)


_PROBE = """
mkdir -p /run/systemd/system/holdfast-page@probe.service.d &&
printf '[Service]\\nType=oneshot\\nExecStart=\\nExecStart=/bin/sh -c "%s"\\n' \
    > /run/systemd/system/holdfast-page@probe.service.d/probe.conf &&
systemctl daemon-reload && systemctl start holdfast-page@probe
"""
_PROBE_GOES = "rm -r /run/systemd/system/holdfast-page@probe.service.d && systemctl daemon-reload"


def test_who_talks_to_strangers_reaches_none_of_the_robots_sockets(bench: Bench) -> None:
    try:
        bench.robot.shell.run(_PROBE % "test -r /run/holdfast-console/about.json")
        assert said(bench, "ls /run/holdfast/control.sock")
        bench.robot.shell.run(_PROBE % "! test -e /run/holdfast/control.sock")
        bench.robot.shell.run(_PROBE % "! test -e /etc/holdfast/robot.toml")
    finally:
        bench.robot.shell.run(_PROBE_GOES, check=False)


def test_services_that_stay_are_sandboxed_as_they_run(bench: Bench) -> None:
    units = [f"holdfast-{name}.service" for name in ("safety", "control", "worker", "nats")]
    for unit in units:
        bench.robot.shell.run(f"systemd-analyze security --no-pager --threshold=29 {unit}")
    calls = "awk '/^Seccomp:/ {print $2}' /proc/$(systemctl show -P MainPID %s)/status"
    assert [said(bench, calls % unit) for unit in units] == ["2"] * 4


_CODE_OF_THE_WORKER = """
import asyncio, shutil, pathlib
from holdfast.daemons import CoreClient
run, state = pathlib.Path("/run/holdfast"), pathlib.Path("/var/lib/holdfast/controllers")
mine = state / ("0" * 64 + ".cwasm")
shutil.copyfile(next(state.glob("*.cwasm")), mine)
async def load():
    async with await CoreClient.connect(run) as core:
        await core.load(mine, name="mine", version="", sha256="0" * 64)
try:
    asyncio.run(load())
except Exception as error:
    print(error)
finally:
    mine.unlink()
"""


def test_the_core_runs_no_code_that_the_worker_has_written(bench: Bench) -> None:
    bench.robot.deploy("moving.wat")
    owners = said(bench, "stat -c %U /var/lib/holdfast/controllers/*.cwasm").split()
    assert set(owners) == {"holdfast-verify"}
    as_worker = f"runuser -u holdfast-worker -g holdfast -- {PYTHON} -c {shlex.quote(_CODE_OF_THE_WORKER)}"
    assert "by somebody else than holdfast-verify" in said(bench, as_worker)
    assert bench.robot.control()["controller"]["name"] != "mine"


def test_nobody_has_a_password(bench: Bench) -> None:
    hashes = said(bench, "cut -d: -f2 /etc/shadow").splitlines()
    assert all(entry.startswith(("!", "*")) for entry in hashes)
    assert "passwordauthentication no" in said(bench, "sshd -T")


def test_root_logs_in_for_the_bench_only(bench: Bench) -> None:
    asked = "sshd -T | sed -n 's/^permitrootlogin //p'"
    assert said(bench, asked) in {"prohibit-password", "without-password"}
    # A release is without the bench's file.
    without = "mount --bind /dev/null /etc/ssh/sshd_config.d/05-bench.conf"
    assert said(bench, f"unshare --mount sh -c {shlex.quote(f'{without} && {asked}')}") == "no"


def test_who_logs_in_sees_the_robot_and_may_do_everything_by_sudo(bench: Bench) -> None:
    admin = "runuser --user admin -- "
    assert said(bench, f"{admin} sudo --non-interactive id --user") == "0"
    assert json.loads(said(bench, f"{admin} holdfast robot status --robot local --json"))["control"]
    assert said(bench, "stat -c '%U %a' /var/lib/admin/.ssh/authorized_keys") == "admin 600"


def test_the_system_does_not_update_itself(bench: Bench) -> None:
    for unit in _UPDATE_UNITS:
        assert said(bench, f"systemctl is-enabled {unit} || true") == "masked"


def test_identity_is_this_robots_own(bench: Bench) -> None:
    assert len(said(bench, "cat /etc/machine-id")) == 32
    assert said(bench, "ls /etc/ssh/ssh_host_*_key") == "/etc/ssh/ssh_host_ed25519_key"


def test_root_is_verified_and_read_only(bench: Bench) -> None:
    assert said(bench, "findmnt -no SOURCE,FSTYPE /").split() == ["/dev/mapper/root", "erofs"]
    assert bench.robot.shell.run("touch /usr/x", check=False).returncode != 0
    table = said(bench, "dmsetup table --target verity")
    (root_hash,) = re.findall(r"roothash=(\w+)", said(bench, "cat /proc/cmdline"))
    assert root_hash in table.split()
    assert "panic_on_corruption" in table.split()


def test_what_is_written_goes_to_the_data_partition(bench: Bench) -> None:
    drive = said(bench, "lsblk -no PKNAME $(findmnt -no SOURCE /var)")
    partitions = said(bench, f"lsblk -bnro PARTLABEL,SIZE /dev/{drive}").split("\n")
    sizes = dict(line.rsplit(" ", 1) for line in partitions if " " in line.strip())
    assert {"_empty", "holdfast-data"} <= sizes.keys(), sizes
    assert said(bench, "findmnt -no SOURCE,FSTYPE /etc").split() == ["overlay", "overlay"]
    used = sum(map(int, said(bench, f"lsblk -bnro SIZE /dev/{drive}").split()[1:]))
    whole = int(said(bench, f"lsblk -dbno SIZE /dev/{drive}"))
    assert whole - used < 4 << 20, "the data partition has not grown over what was left of the drive"
    file_system = int(said(bench, "findmnt -bno SIZE /var"))
    assert file_system > 0.9 * int(sizes["holdfast-data"])


def test_latch_is_the_safety_daemons_alone(bench: Bench) -> None:
    for user in ("holdfast-worker", "holdfast-control", "holdfast-nats"):
        for act in (
            "touch /var/lib/holdfast/safety/x",
            "mv /var/lib/holdfast/safety /var/lib/holdfast/moved",
        ):
            assert bench.robot.shell.run(f"runuser -u {user} -- {act}", check=False).returncode != 0


def test_a_virtual_bus_can_be_had(bench: Bench) -> None:
    assert "vcan" in said(bench, "ip -d link show vcan0")


@pytest.mark.needs("links")
def test_a_link_that_is_not_there_is_refused(bench: Bench) -> None:
    with pytest.raises(MachineError, match="no link 'net7'"):
        bench.faults.set_link("net7", up=False)


_PARENT = """
import sys, time
from pathlib import Path
from holdfast_image.namespace import start_in_builder
process = start_in_builder(Path(sys.argv[1]), ["sleep", "86399"])
print(process.pid, flush=True)
time.sleep(86400)
"""


def _running(argument: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if words[:2] == [b"sleep", argument.encode()]:
                found.append(int(folder.name))
    return found


@pytest.mark.needs("fresh-machine")
def test_machines_end_with_the_process_that_started_them() -> None:
    tree = build_image(repository_root(Path(__file__).parent)).builder.tree
    with subprocess.Popen([sys.executable, "-c", _PARENT, str(tree)], stdout=subprocess.PIPE) as parent:
        try:
            wait_until("the command in the namespace runs", lambda: _running("86399"))
        finally:
            os.kill(parent.pid, signal.SIGKILL)
    wait_until("it is gone with its parent", lambda: not _running("86399"))


@pytest.mark.expect_fault("holdfast-broken.service", reason="a service of this test that cannot start")
def test_the_wait_for_a_service_that_restarts_for_ever_ends_with_its_last_words(bench: Bench) -> None:
    broken = "--property=Type=oneshot --property=Restart=on-failure --property=RestartSec=100ms"
    endless = "--property=StartLimitIntervalSec=0 --no-block --unit=holdfast-broken"
    bench.robot.shell.run(f"systemd-run {endless} {broken} sh -c 'echo there is no such board; exit 3'")
    try:
        with pytest.raises(MachineError, match="there is no such board"):
            bench.wait_for_unit("holdfast-broken.service")
    finally:
        bench.robot.shell.run("systemctl stop holdfast-broken; systemctl reset-failed", check=False)
