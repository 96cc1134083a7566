"""A robot's identity at boot."""

import hashlib
import json
import stat
import tomllib
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from holdfast.config import RobotId
from holdfast_image.errors import UsageError
from holdfast_image.guest.broker import forget_summaries, server_configuration
from holdfast_image.guest.firstboot import (
    SECTOR_BYTES,
    environment,
    fleet_configuration,
    personalise,
    replace_sector,
    wifi_configuration,
    with_robot_id,
)

TOML = """\
id = "not this one"

[robot]   # who
  id = "arm-01"  # its name
model = "bench-arm"

[[drive]]
id = "nor this"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("etc/holdfast", "usr/share/holdfast", "run/holdfast"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "usr/share/holdfast/robot.toml").write_text(TOML)
    return tmp_path


def test_only_the_robots_id_changes() -> None:
    assert with_robot_id(TOML, "arm-02") == TOML.replace('"arm-01"', '"arm-02"')


@pytest.mark.parametrize(
    "robot_id", ["", "a.b", "a*", "a>", "a b", "-a", "a-", "Arm", "a_b", 'a"', "a\nb", "a\n", "x" * 64, "ä"]
)
def test_id_that_the_runtime_would_refuse_is_refused(robot_id: str) -> None:
    with pytest.raises(UsageError, match="robot id"):
        with_robot_id(TOML, robot_id)
    with pytest.raises(ValidationError):
        TypeAdapter(RobotId).validate_python(robot_id)


@pytest.mark.parametrize("robot_id", ["a", "7", "arm-02", "a--b", "x" * 63])
def test_id_that_the_runtime_takes_is_taken(robot_id: str) -> None:
    assert f'"{robot_id}"' in with_robot_id(TOML, robot_id)
    assert TypeAdapter(RobotId).validate_python(robot_id) == robot_id


def test_file_without_an_id_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no line `id"):
        with_robot_id('[robot]\nmodel = "x"\n', "arm-02")


def test_first_boot_brings_the_example(root: Path) -> None:
    assert personalise(root, None, None, None) == ["etc/holdfast/robot.toml"]
    assert (root / "etc/holdfast/robot.toml").read_text() == TOML


def test_own_robot_toml_stays(root: Path) -> None:
    own = '[robot]\nid = "mine"\n'
    (root / "etc/holdfast/robot.toml").write_text(own)
    assert personalise(root, None, None, None) == []
    assert (root / "etc/holdfast/robot.toml").read_text() == own


def test_empty_robot_toml_of_a_power_cut_is_replaced(root: Path) -> None:
    (root / "etc/holdfast/robot.toml").touch()
    personalise(root, None, None, None)
    assert (root / "etc/holdfast/robot.toml").read_text() == TOML


def test_second_boot_changes_nothing(root: Path) -> None:
    given = ("arm-02", "nats-leaf://u:p@10.0.3.2:7422", "HOLDFAST_CONTROL__REALTIME=prefer")
    assert len(personalise(root, *given)) == 3
    assert personalise(root, *given) == []
    assert tomllib.loads((root / "etc/holdfast/robot.toml").read_text())["robot"]["id"] == "arm-02"


def test_what_is_provisioned_later_outlives_the_credentials_of_a_card(root: Path) -> None:
    given = ("arm-02", "nats-leaf://u:p@10.0.3.2:7422", None, TOML)
    personalise(root, *given)
    (root / "etc/holdfast/robot.toml").write_text(TOML.replace("bench-arm", "provisioned"))
    (root / "etc/holdfast/fleet.conf").write_text("provisioned")
    assert personalise(root, *given) == []
    assert "provisioned" in (root / "etc/holdfast/robot.toml").read_text()
    assert (root / "etc/holdfast/fleet.conf").read_text() == "provisioned"


def test_changed_credential_is_applied_again(root: Path) -> None:
    personalise(root, "arm-02", None, None)
    assert personalise(root, "arm-03", None, None) == ["etc/holdfast/robot.toml"]


def test_robot_toml_emptied_by_a_power_cut_is_made_from_the_same_credentials_again(root: Path) -> None:
    given = ("arm-02", None, None, TOML)
    personalise(root, *given)
    (root / "etc/holdfast/robot.toml").write_text("")
    assert personalise(root, *given) == ["etc/holdfast/robot.toml"]
    assert tomllib.loads((root / "etc/holdfast/robot.toml").read_text())["robot"]["id"] == "arm-02"


def test_robot_of_a_credential_replaces_the_one_there(root: Path) -> None:
    (root / "etc/holdfast/robot.toml").write_text(TOML)
    given = '[robot]\nid = "other"\nmodel = "quadruped"\n'
    assert personalise(root, "arm-02", None, None, given) == ["etc/holdfast/robot.toml"]
    written = tomllib.loads((root / "etc/holdfast/robot.toml").read_text())
    assert written["robot"] == {"id": "arm-02", "model": "quadruped"}


def test_robot_of_a_credential_that_is_no_toml_changes_nothing(root: Path) -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        personalise(root, None, None, None, "[robot\n")
    assert not (root / "etc/holdfast/robot.toml").exists()


def test_password_of_the_fleet_is_readable_by_root_only(root: Path) -> None:
    personalise(root, None, "nats-leaf://u:p@10.0.3.2:7422", None)
    assert stat.S_IMODE((root / "etc/holdfast/fleet.conf").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "url", ["10.0.3.2:7422", 'nats://a"b', "nats-leaf://a b", "file:///etc/passwd", "nats://x\n}"]
)
def test_fleet_url_cannot_carry_other_configuration(url: str) -> None:
    with pytest.raises(UsageError, match="fleet URL"):
        fleet_configuration(url)


@pytest.mark.parametrize("line", ["LD_PRELOAD=/tmp/x", "HOLDFAST_X", "holdfast_x=1", " HOLDFAST_X=1"])
def test_environment_takes_holdfast_keys_only(line: str) -> None:
    with pytest.raises(UsageError, match=r"holdfast\.env, line 2"):
        environment(f"HOLDFAST_A=1\n{line}\n")


def test_malformed_value_leaves_the_robot_as_it_was(root: Path) -> None:
    with pytest.raises(UsageError):
        personalise(root, "arm-02", None, "PATH=/tmp")
    assert not (root / "etc/holdfast/robot.toml").exists()


def test_broker_takes_its_domain_from_the_robot(tmp_path: Path) -> None:
    text = server_configuration(TOML, None, tmp_path)
    assert f'domain: "arm-01-{(tmp_path / "life").read_text().strip()}"' in text
    assert 'listen: "127.0.0.1:4222"' in text
    assert "leafnodes" not in text


def test_broker_is_a_leaf_of_its_fleet(tmp_path: Path) -> None:
    fleet = fleet_configuration("nats-leaf://u:p@10.0.3.2:7422")
    assert server_configuration(TOML, fleet, tmp_path).endswith(fleet)


@pytest.mark.parametrize(
    "toml", ["", "[robot]\n", '[robot]\nid = "a.b"\n', "[robot]\nid = 3\n", "not toml", 'robot = "x"']
)
def test_broker_refuses_a_robot_without_a_usable_id(toml: str) -> None:
    with pytest.raises(UsageError, match=r"robot\.toml"):
        server_configuration(toml, None)


WIFI = {"ssid": "Halle 3", "psk": "0d" * 32, "country": "DE"}


def test_wifi_is_written_once_and_for_root_only(root: Path) -> None:
    given = (None, None, None, None, json.dumps(WIFI))
    file = root / "etc/holdfast/wifi.conf"
    assert "etc/holdfast/wifi.conf" in personalise(root, *given)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("provisioned")
    assert personalise(root, *given) == []
    assert file.read_text() == "provisioned"


def test_card_from_before_there_was_wifi_is_not_applied_again(root: Path) -> None:
    # What an image without the credential noted of this card.
    given = hashlib.sha256(json.dumps([None, "arm-02", None]).encode()).hexdigest()
    (root / "etc/holdfast/robot.toml").write_text(TOML.replace("bench-arm", "provisioned"))
    (root / "etc/holdfast/firstboot.sha256").write_text(given)
    assert personalise(root, "arm-02", None, None) == []


def test_name_of_a_wifi_cannot_carry_other_configuration() -> None:
    hostile = '"\n}\nctrl_interface=/tmp/x\n'
    lines = wifi_configuration(json.dumps({**WIFI, "ssid": hostile})).splitlines()
    assert len(lines) == len(wifi_configuration(json.dumps(WIFI)).splitlines())
    assert f"  ssid={hostile.encode().hex()}" in lines


@pytest.mark.parametrize(
    "told",
    [
        "",
        "[]",
        '"text"',
        "{}",
        json.dumps({**WIFI, "ssid": ""}),
        json.dumps({**WIFI, "ssid": "x" * 33}),
        json.dumps({**WIFI, "ssid": 7}),
        json.dumps({**WIFI, "psk": "password"}),
        json.dumps({**WIFI, "psk": "0D" * 32}),
        json.dumps({**WIFI, "psk": None}),
        json.dumps({**WIFI, "country": "DE\n"}),
        json.dumps({**WIFI, "country": "germany"}),
        json.dumps({**WIFI, "more": 1}),
    ],
)
def test_wifi_that_is_something_else_changes_nothing(root: Path, told: str) -> None:
    with pytest.raises(UsageError, match=r"credential holdfast\.wifi"):
        personalise(root, "arm-02", None, None, None, told)
    assert not (root / "etc/holdfast/robot.toml").exists()


def test_a_file_of_one_sector_is_written_over_in_place(tmp_path: Path) -> None:
    file = tmp_path / "tries.env"
    file.write_text("of another size")
    replace_sector(file, "before".ljust(SECTOR_BYTES))
    number = file.stat().st_ino
    replace_sector(file, "after".ljust(SECTOR_BYTES))
    assert file.read_text() == "after".ljust(SECTOR_BYTES)
    assert file.stat().st_ino == number
    with pytest.raises(ValueError, match=r"tries\.env has 514 bytes instead of 512"):
        replace_sector(file, "ä" * 257)
    assert file.read_text() == "after".ljust(SECTOR_BYTES)


def test_the_brokers_summaries_are_forgotten_and_its_messages_are_not(tmp_path: Path) -> None:
    forget_summaries(tmp_path / "before the first start")
    messages = tmp_path / "jetstream/$G/streams/RESULTS/msgs"
    messages.mkdir(parents=True)
    for file in (messages / "1.blk", messages / "index.db", messages.parent / "meta.inf"):
        file.touch()
    forget_summaries(tmp_path)
    left = {str(file.relative_to(messages.parent)) for file in messages.parent.rglob("*") if file.is_file()}
    assert left == {"msgs/1.blk", "meta.inf"}
