"""What a robot is told at its first boot is checked on the workstation."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_image.errors import UsageError
from holdfast_image.first_boot import Wifi, checked_host_name, checked_leaf_url, first_boot
from holdfast_image.guest.factory_reset import RESET_LINE
from holdfast_image.guest.firstboot import fleet_configuration, wifi_configuration

ROOT = Path(__file__).parents[2]
ARM = ROOT / "examples/robots/arm.toml"
URL = "nats-leaf://robot:secret@hub.example:7422"


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A private key; the public one is beside it."""
    file = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me@laptop", "-f", str(file)], check=True
    )
    return file


def test_nothing_told_is_no_credential() -> None:
    assert first_boot().credentials == {}


def test_everything_told(key: Path) -> None:
    public = key.with_suffix(".pub")
    told = first_boot("arm-02", [public, public], URL, ARM)
    assert told.credentials == {
        "holdfast.robot-id": "arm-02",
        "system.hostname": "arm-02",
        "ssh.authorized_keys.admin": public.read_text() * 2,
        "ssh.authorized_keys.root": public.read_text() * 2,
        "holdfast.fleet-url": URL,
        "holdfast.robot-toml": ARM.read_text(),
    }


def test_person_sees_the_key_and_no_password(key: Path) -> None:
    summary = "\n".join(first_boot("arm-02", [key.with_suffix(".pub")], URL).summary)
    assert "SHA256:" in summary
    assert "me@laptop" in summary
    assert "hub.example:7422" in summary
    assert "secret" not in summary


def test_what_a_robot_lacks_to_be_reached_is_told(key: Path) -> None:
    assert first_boot("arm-02").summary[1:] == ["no ssh key, so nobody can log in", "no fleet"]
    reached = first_boot("arm-02", [key.with_suffix(".pub")], URL).summary
    assert not [line for line in reached if line.startswith("no ")]


@settings(deadline=None)
@given(name=st.text(max_size=70) | st.from_regex(r"[a-z0-9-]{1,66}", fullmatch=True))
def test_host_name_is_one_label_of_rfc_1123(name: str) -> None:
    valid = 0 < len(name) < 64 and not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789-")
    valid = valid and not name.startswith("-") and not name.endswith("-")
    if valid:
        assert checked_host_name(name) == name
    else:
        with pytest.raises(UsageError, match="RFC 1123"):
            checked_host_name(name)


@pytest.mark.parametrize(
    "url", ["nats-leaf://h", "nats-leaf://h:7422", "tls://u:p@10.0.0.1:7422", "wss://hub.example:443", URL]
)
def test_leaf_url(url: str) -> None:
    assert checked_leaf_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        *("", "hub:7422", "http://hub", "nats-leaf://", "nats-leaf://u:secret@:7422", 'nats://a"b'),
        *("nats-leaf://hub:port", "nats-leaf://hub:70000", "nats-leaf://hub:0", "nats-leaf://[::1"),
        *(
            f"nats-leaf://u:secret{refused}@hub:7422"
            for refused in ("^", "<", "%ss", "%2", "ä", "/", "\\", "#")
        ),
    ],
)
def test_malformed_leaf_url_is_refused_and_its_password_not_told(url: str) -> None:
    with pytest.raises(UsageError, match="fleet URL") as refusal:
        checked_leaf_url(url)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("password", [*"!$&'()*+,;=:@-._~", "a%20b", "%c3%a4", "%5E", "$HOME", "0"])
def test_the_broker_takes_every_password_that_is_taken_here(password: str, tmp_path: Path) -> None:
    url = checked_leaf_url(f"nats-leaf://robot:{password}@127.0.0.1:7422")
    configuration = tmp_path / "nats.conf"
    configuration.write_text(fleet_configuration(url))
    command = ["nats-server", "-t", "--config", str(configuration)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_private_key_is_refused(key: Path) -> None:
    with pytest.raises(UsageError, match=r"private key.*\.pub"):
        first_boot(ssh_keys=[key])


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "hello\n", "ssh-ed25519 AAAA\n", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 me\n"]
)
def test_file_without_a_public_key_is_refused(text: str, tmp_path: Path) -> None:
    file = tmp_path / "key.pub"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"ssh public key|no ssh key"):
        first_boot(ssh_keys=[file])


def test_one_bad_line_among_keys_is_refused(key: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"# mine\n{key.with_suffix('.pub').read_text()}\nssh-rsa oops\n")
    with pytest.raises(UsageError, match="'ssh-rsa oops'"):
        first_boot(ssh_keys=[file])


def test_every_problem_of_a_robot_toml_is_shown(tmp_path: Path) -> None:
    file = tmp_path / "robot.toml"
    file.write_text(
        ARM.read_text().replace("[robot]", '[robot]\ncolour = "red"').replace("[control]", "[contrl]")
    )
    with pytest.raises(UsageError) as caught:
        first_boot(robot=file)
    assert "colour" in str(caught.value)
    assert "contrl" in str(caught.value)
    assert f"{file}:" in str(caught.value)


def test_environment_of_the_workstation_does_not_mend_a_robot_toml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_CONTROL__TIER1_HZ", "1000")
    file = tmp_path / "robot.toml"
    file.write_text(ARM.read_text().replace("tier1_hz = 1000", "tier1_hz = -1"))
    with pytest.raises(UsageError, match="tier1_hz"):
        first_boot(robot=file)


def test_host_name_needs_a_line_that_it_can_be_set_in(tmp_path: Path) -> None:
    file = tmp_path / "robot.toml"
    rest = ARM.read_text().partition("[control]")[2]
    file.write_text(f'robot = {{ id = "arm" }}\n[control]{rest}')
    assert first_boot(robot=file).credentials
    with pytest.raises(UsageError, match=r"no line `id"):
        first_boot("arm-02", robot=file)


def test_robot_toml_that_needs_another_file_is_refused() -> None:
    with pytest.raises(UsageError, match=r"workspace\.urdf"):
        first_boot(robot=ROOT / "runtime/tests/robot_toml/valid/relations.toml")


def test_configuration_too_long_for_the_boot_loader_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "robot.toml"
    file.write_text(ARM.read_text() + "# " + "x" * (256 << 10) + "\n")
    with pytest.raises(UsageError, match="shorten it"):
        first_boot(robot=file)


@pytest.mark.parametrize(
    ("ssid", "password", "psk"),
    [  # IEEE 802.11i-2004, H.4.3
        ("IEEE", "password", "f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e"),
        (
            "ThisIsASSID",
            "ThisIsAPassword",
            "0dc0d6eb90555ed6419756b9a15ec3e3209b63df707dd508d14581f8982721af",
        ),
    ],
)
def test_robot_is_told_the_key_of_a_wifi_and_not_its_password(ssid: str, password: str, psk: str) -> None:
    told = first_boot(wifi=Wifi(ssid, password, "DE"))
    assert json.loads(told.credentials["holdfast.wifi"]) == {"ssid": ssid, "psk": psk, "country": "DE"}
    assert wifi_configuration(told.credentials["holdfast.wifi"]), "the robot takes what it is told"
    assert password not in str(told)
    assert told.summary[-1] == f"Wi-Fi {ssid!r}, country DE"


@pytest.mark.parametrize(
    ("wifi", "message"),
    [
        (Wifi("", "password", "DE"), "1 to 32 bytes"),
        (Wifi("ü" * 17, "password", "DE"), "this one 34"),
        (Wifi("home", "7 chars", "DE"), "8 to 63"),
        (Wifi("home", "x" * 64, "DE"), "8 to 63"),
        (Wifi("home", "pass\nword", "DE"), "printable"),
        (Wifi("home", "pässword", "DE"), "printable"),
        (Wifi("home", "password", "de"), "ISO 3166"),
        (Wifi("home", "password", "Germany"), "ISO 3166"),
        (Wifi("home", "password", "UK"), "such as DE, GB or US"),
        (Wifi("h\udcff", "password", "DE"), "not UTF-8"),
    ],
)
def test_wifi_that_cannot_be_is_refused(wifi: Wifi, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        first_boot(wifi=wifi)


def test_what_stays_readable_beside_encrypted_data_is_said() -> None:
    assert "stay readable" in "\n".join(first_boot(nats=URL, encrypt=True).summary)
    assert "stay readable" not in "\n".join(first_boot(encrypt=True).summary)


def test_a_reset_line_is_named_as_in_robot_toml() -> None:
    told = first_boot(reset_line="/dev/gpiochip0:17")
    assert told.files == {RESET_LINE: b"gpiochip0:17"}
    assert "lose all its data" in "\n".join(told.summary)


@pytest.mark.parametrize("line", ["gpiochip0:5", "gpiochip0:06", "gpiochip0:7"])
def test_a_line_of_the_e_stop_does_not_reset(tmp_path: Path, line: str) -> None:
    lines = 'estop_lines = ["gpiochip0:5", "gpiochip0:6"]\nenable_line = "gpiochip0:7"\n'
    robot = tmp_path / "arm.toml"
    robot.write_text(ARM.read_text().replace("[safety]\n", f"[safety]\n{lines}"))
    with pytest.raises(UsageError, match="a line of its own"):
        first_boot(robot=robot, reset_line=line)
    assert first_boot(robot=robot, reset_line="gpiochip1:5").files == {RESET_LINE: b"gpiochip1:5"}


@pytest.mark.parametrize(
    "line", ["", "gpiochip0", "gpiochip0:", ":5", "a:b:5", "gpio chip:5", "gpiochip0:5\n", "a:-1"]
)
def test_a_reset_line_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match="CHIP:NUMBER"):
        first_boot(reset_line=line)
