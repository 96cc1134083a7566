"""The robot joins a Wi-Fi that it was told of: two radios of mac80211_hwsim, of which one is the network's."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import pytest

from holdfast_bench.bench import Bench
from holdfast_bench.facade import Shell
from holdfast_bench.robot import PYTHON, wait_until
from holdfast_image.first_boot import Wifi

# A board may have been told of a network, and be reached by it.
pytestmark = pytest.mark.needs("fresh-machine")

NETWORK = Wifi('Halle 3, "Süd"', "a password of 8 to 63", "DE")
OTHER_PASSWORD = "another password"  # noqa: S105 - it is to be refused
# Most radios get a name of their place instead of the kernel's.
STATION, ACCESS_POINT = "radio7", "wlan1"
UNIT = f"holdfast-wifi@{STATION}.service"
_LINK = f"[Match]\nDriver=mac80211_hwsim\nOriginalName=wlan0\n[Link]\nName={STATION}\n"
_RADIOS = f"""
mkdir -p /run/systemd/network &&
printf %s {shlex.quote(_LINK)} >/run/systemd/network/10-bench.link && udevadm control --reload &&
systemctl --quiet --runtime mask holdfast-wifi@{ACCESS_POINT} &&
modprobe mac80211_hwsim radios=2 && udevadm settle &&
ip netns add air && iw phy $(cat /sys/class/net/{ACCESS_POINT}/phy80211/name) set netns name air &&
ip -n air address add 192.0.2.1/24 dev {ACCESS_POINT} && ip address add 192.0.2.2/24 dev {STATION}
"""
_GONE = f"""
systemctl stop bench-hostapd {UNIT}
rm -f /etc/holdfast/wifi.conf /run/hostapd.conf /run/systemd/network/10-bench.link
ip netns delete air
udevadm settle
modprobe -r mac80211_hwsim
systemctl --quiet --runtime unmask holdfast-wifi@{ACCESS_POINT}
udevadm control --reload
"""
_WIFI_CONFIGURATION = """
import sys
from holdfast_image.guest.firstboot import wifi_configuration
sys.stdout.write(wifi_configuration(sys.argv[1]))
"""


@pytest.fixture
def shell(bench: Bench) -> Iterator[Shell]:
    """A robot whose radios go when the test ends."""
    try:
        yield bench.robot.shell
    finally:
        bench.robot.shell.run(_GONE, check=False)


def tell(shell: Shell) -> None:
    """Do with the network what holdfast-firstboot.service does."""
    made = shlex.join([PYTHON, "-c", _WIFI_CONFIGURATION, NETWORK.credential()])
    shell.run(f"{made} >/etc/holdfast/wifi.conf")


def serve(shell: Shell, password: str) -> None:
    """Let the other radio be the network, with this password."""
    settings = {
        "interface": ACCESS_POINT,
        "driver": "nl80211",
        "ssid2": NETWORK.ssid.encode().hex(),
        "country_code": NETWORK.country,
        "hw_mode": "g",
        "channel": "1",
        "wpa": "2",
        "wpa_key_mgmt": "WPA-PSK",
        "rsn_pairwise": "CCMP",
        "wpa_passphrase": password,
    }
    text = "".join(f"{name}={value}\n" for name, value in settings.items())
    shell.run(f"printf %s {shlex.quote(text)} >/run/hostapd.conf")
    command = "ip netns exec air hostapd /run/hostapd.conf"
    shell.run(f"systemd-run --quiet --collect --unit=bench-hostapd {command}")


def is_reached(shell: Shell) -> bool:
    """Tell whether data goes from the robot to the network."""
    return shell.run("ping -c 1 -W 2 192.0.2.1", check=False).returncode == 0


def test_a_radio_that_appears_joins_the_network_that_the_robot_was_told_of(shell: Shell) -> None:
    tell(shell)
    shell.run(_RADIOS)
    serve(shell, NETWORK.password)
    wait_until("data reaches the network", lambda: is_reached(shell))
    status = json.loads(shell.run(f"networkctl --json=short status {STATION}").stdout)
    assert status["NetworkFile"] == "/usr/lib/systemd/network/25-wifi.network"


def test_a_radio_is_left_alone_where_no_network_was_told(shell: Shell) -> None:
    shell.run(_RADIOS)
    considered = f"systemctl show -P ConditionTimestampMonotonic {UNIT}"
    wait_until("udev has started the service", lambda: shell.run(considered).stdout.strip() != "0")
    shown = shell.run(f"systemctl show -P ConditionResult -P ActiveState {UNIT}").stdout
    assert sorted(shown.split()) == ["inactive", "no"]


def test_who_has_another_password_is_not_let_in(shell: Shell) -> None:
    tell(shell)
    shell.run(_RADIOS)
    serve(shell, OTHER_PASSWORD)
    told = f"journalctl --unit {UNIT} | grep WRONG_KEY"
    wait_until("the password is refused", lambda: shell.run(told, check=False).returncode == 0)
    assert not is_reached(shell)
