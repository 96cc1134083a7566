"""What the daemons that move drives need from their units, and from what is loaded before these start."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from holdfast_image.guest import firstboot

IMAGE = Path(__file__).parents[1] / "mkosi.extra" / "usr" / "lib"
BENCH, OLLAMA = (
    IMAGE.parents[2] / "mkosi.profiles" / name / "mkosi.extra/usr/lib" for name in ("bench", "ollama")
)
SERIAL = {"char-ttyUSB rw", "char-ttyACM rw", "char-ttyS rw", "char-ttyAMA rw"}


def values(unit: str, key: str) -> set[str]:
    """Return all values of a key of a unit."""
    lines = (IMAGE / "systemd" / "system" / f"{unit}.service").read_text().splitlines()
    return {value for name, _, value in (line.partition("=") for line in lines) if name == key}


def test_the_numbers_of_accounts_are_the_same_in_every_version() -> None:
    numbers = {
        line.split()[1]: int(line.split()[2].partition(":")[0])
        for tree in (IMAGE, BENCH, OLLAMA)
        for file in sorted((tree / "sysusers.d").glob("*.conf"))
        for line in file.read_text().splitlines()
        if line.startswith(("g ", "u "))
    }
    # Robots have files of these: never change one, never give one again.
    assert numbers == {
        "holdfast": 900,
        "holdfast-safety": 901,
        "holdfast-control": 902,
        "holdfast-worker": 903,
        "holdfast-nats": 904,
        "holdfast-plant": 905,
        "admin": 906,
        "holdfast-ollama": 907,
        "holdfast-verify": 908,
    }


def test_first_boot_is_given_every_credential_that_it_asks_for() -> None:
    asked = set(re.findall(r'_credential\("([^"]+)"\)', Path(firstboot.__file__).read_text()))
    assert "holdfast.robot-toml" in asked
    assert values("holdfast-firstboot", "ImportCredential") == asked


def key_commands(folder: Path) -> list[list[str]]:
    """Return what makes the ssh host key, with the key in a folder."""
    unit = IMAGE / "systemd" / "system" / "holdfast-ssh-key.service"
    lines = [line.partition("=") for line in unit.read_text().splitlines()]
    return [
        shlex.split(command.replace("/etc/ssh", str(folder)))
        for key, _, command in lines
        if key == "ExecStart"
    ]


@pytest.mark.parametrize("done", range(7))
def test_the_ssh_host_key_is_whole_whenever_the_power_goes(tmp_path: Path, done: int) -> None:
    key = tmp_path / "ssh_host_ed25519_key"
    assert values("holdfast-ssh-key", "ConditionFileNotEmpty") == {f"!/etc/ssh/{key.name}"}
    commands = key_commands(tmp_path)
    synced = set()
    for command in commands[:done]:
        subprocess.run(command, check=True)
        if command[0].endswith("/sync"):
            synced |= {Path(name).stat().st_ino for name in command[1:]}
    for file in tmp_path.iterdir():
        if file.stat().st_ino not in synced:  # ext4 may leave as many zeros
            file.write_bytes(bytes(file.stat().st_size))
    if not (key.exists() and key.stat().st_size):
        for command in commands:
            subprocess.run(command, check=True)
    public = subprocess.run(["ssh-keygen", "-y", "-f", key], check=True, capture_output=True, text=True)
    assert public.stdout.split()[:2] == key.with_suffix(".pub").read_text().split()[:2]
    assert sorted(tmp_path.iterdir()) == [key, key.with_suffix(".pub")]


@pytest.mark.parametrize("unit", ["holdfast-safety", "holdfast-control"])
def test_a_daemon_may_open_the_serial_links_of_robot_toml(unit: str) -> None:
    assert "dialout" in " ".join(values(unit, "SupplementaryGroups")).split()
    if values(unit, "DevicePolicy"):
        assert values(unit, "DeviceAllow") >= SERIAL


def test_the_safety_daemon_may_open_its_watchdog() -> None:
    assert "char-watchdog rw" in values("holdfast-safety", "DeviceAllow")
    loaded = (IMAGE / "modules-load.d" / "holdfast.conf").read_text().splitlines()
    assert "watchdog" in loaded, "char-watchdog means nothing to a unit that starts before that module"


@pytest.mark.parametrize(
    ("tree", "unit"),
    [
        *((IMAGE, f"holdfast-{name}") for name in ("safety", "control", "worker", "nats", "page@", "wifi@")),
        (IMAGE, "holdfast-verify@"),
        (OLLAMA, "holdfast-ollama"),
    ],
)
def test_a_service_that_stays_is_exposed_below_three(tree: Path, unit: str) -> None:
    file = tree / "systemd" / "system" / f"{unit}.service"
    command = ["systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=29", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Overall exposure level" in done.stdout, done.stderr
    assert done.returncode == 0, done.stdout


def test_nothing_of_the_robot_waits_for_its_language_models() -> None:
    others = [
        file for tree in (IMAGE, BENCH) for file in (tree / "systemd/system").rglob("*") if file.is_file()
    ]
    assert others
    assert [file.name for file in others if "ollama" in file.read_text()] == []
    (preset,) = (IMAGE / "systemd/system-preset").glob("*")
    assert "enable holdfast-ollama.service" in preset.read_text().splitlines()
    unit = (OLLAMA / "systemd/system/holdfast-ollama.service").read_text()
    assert "Before=" not in unit
    assert "After=holdfast.target " in unit
    assert "Slice=holdfast-realtime" not in unit


@pytest.mark.parametrize("unit", ["safety", "control", "worker", "verify@", "nats"])
def test_nobody_but_root_writes_a_daemons_environment(unit: str) -> None:
    """Its LD_PRELOAD would run in the daemon; whoever is in the group may put files into /run/holdfast."""
    files = {file.removeprefix("-") for file in values(f"holdfast-{unit}", "EnvironmentFile")}
    assert files <= {"/etc/holdfast/env", "/run/holdfast.env"}


def test_only_the_compilers_user_makes_what_the_core_runs() -> None:
    """The worker may tidy up there; the core looks at the owner of each file."""
    (line,) = (
        line.split()
        for line in (IMAGE / "tmpfiles.d" / "holdfast.conf").read_text().splitlines()
        if line.startswith("d /var/lib/holdfast/controllers ")
    )
    assert line[2:] == ["0770", "holdfast-verify", "holdfast"]
    assert values("holdfast-verify@", "User") == {"holdfast-verify"}
    assert values("holdfast-worker", "User") == {"holdfast-worker"}


@pytest.mark.parametrize("daemon", ["safety", "control"])
def test_a_daemon_may_write_where_it_keeps_its_state(daemon: str) -> None:
    folders = dict(
        line.split()[1::2]
        for line in (IMAGE / "tmpfiles.d" / "holdfast.conf").read_text().splitlines()
        if line.startswith("d ")
    )
    state = f"/var/lib/holdfast/{daemon}"
    assert folders[state] == f"holdfast-{daemon}"
    (writable,) = values(f"holdfast-{daemon}", "ReadWritePaths")
    assert state in writable.split()
