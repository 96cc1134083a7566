"""Personalises the robot at boot: `python -m holdfast_image.guest.firstboot`.

holdfast-firstboot.service runs it at every boot; it changes nothing that is already right. What it applies
are systemd credentials, from SMBIOS (virtual machines) or the EFI system partition (`holdfast image flash`):

- `holdfast.robot-toml`: becomes /etc/holdfast/robot.toml, before the id is set in it
- `holdfast.robot-id`: becomes `[robot] id` of /etc/holdfast/robot.toml
- `holdfast.fleet-url`: the leaf node's remote in /etc/holdfast/fleet.conf, "nats-leaf://user:password@host:port"
- `holdfast.wifi`: /etc/holdfast/wifi.conf; {"ssid": "...", "psk": 64 hexadecimal digits, "country": "DE"}
- `holdfast.env`: KEY=VALUE lines for the daemons' environment, /run/holdfast.env; they last until the next boot

All but the last are applied once, and again when one of them changes: those of a flashed card are there at every boot
and must not undo what was provisioned later.
A robot without a robot.toml gets the image's example, /usr/share/holdfast/robot.toml.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tomllib
from pathlib import Path

from holdfast_image.errors import UsageError

# As in holdfast.config, whose import would cost a small board seconds of its boot.
ROBOT_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# What Go's net/url takes: with another character nats-server refuses its whole configuration.
_LEAF_URL = re.compile(
    r"(?:nats-leaf|nats|tls|ws|wss)://(?:(?:[\w.~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})+@)?[\w.~:\[\]/-]+", re.ASCII
)
_PSK = re.compile(r"[0-9a-f]{64}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_LONGEST_SSID_BYTES = 32
_APPLIED = "etc/holdfast/firstboot.sha256"
SECTOR_BYTES = 512
_ENV_LINE = re.compile(r"HOLDFAST_[A-Z0-9_]+=[^\n]*")


def write_durably(path: Path, text: str, mode: int) -> bool:
    """Replace a file in one step and have it on disk before returning; False if it already held `text`."""
    if path.is_file() and path.read_bytes() == text.encode():
        return False
    partial = path.with_name(path.name + ".partial")
    with partial.open("w") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    rename_durably(partial, path)
    return True


def replace_sector(path: Path, text: str) -> None:
    """Replace a file of one sector, and have it on disk before returning; raises ValueError for another size.

    What is there is written over: a drive writes a sector as a whole, and FAT renames in several steps.
    """
    content = text.encode()
    if len(content) != SECTOR_BYTES:
        raise ValueError(f"{path.name} has {len(content)} bytes instead of {SECTOR_BYTES}")
    if not path.is_file() or path.stat().st_size != SECTOR_BYTES:
        write_durably(path, text, 0o644)
        return
    with path.open("r+b", buffering=0) as stream:
        stream.write(content)
        os.fsync(stream.fileno())


def rename_durably(path: Path, target: Path) -> None:
    """Give a file another name in its folder, and have that on disk before returning.

    FAT gives a renamed file an entry of no length, and writes its length with the file, not with the folder. So the
    file comes first: power that goes in between leaves it its former name too, and no name of nothing.
    """
    with path.open("rb") as stream:
        path.replace(target)
        os.fsync(stream.fileno())
    directory = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def with_robot_id(toml: str, robot_id: str) -> str:
    """Return `toml` with `[robot] id` set and every other line as it was.

    Raises:
        UsageError: the id cannot be a NATS subject token, or the file has no `[robot] id` line.
    """
    if not ROBOT_ID.fullmatch(robot_id):
        raise UsageError(
            f"robot id {robot_id!r}: use 1 to 63 small letters, digits and '-', "
            "beginning and ending with a letter or digit"
        )
    lines = toml.splitlines(keepends=True)
    section = ""
    for index, line in enumerate(lines):
        if header := re.match(r"\s*\[([^\[\]]+)\]", line):
            section = header[1].strip()
        elif section == "robot" and (key := re.match(r"(\s*id\s*=\s*)(\"[^\"]*\"|'[^']*')", line)):
            lines[index] = f"{key[1]}{json.dumps(robot_id)}{line[key.end() :]}"
            return "".join(lines)
    raise UsageError('robot.toml has no line `id = "..."` below [robot]; write one')


def fleet_configuration(url: str) -> str:
    """Return the nats-server fragment that makes this robot a leaf of the fleet at `url`.

    Raises:
        UsageError: `url` is not a leaf node URL.
    """
    if not _LEAF_URL.fullmatch(url):
        raise UsageError(
            "fleet URL: expected nats-leaf://user:password@host:port; in user and password write a character other "
            "than letters, digits and -._~!$&'()*+,;=:@ as %XX, its bytes in hexadecimal (a space is %20, ^ is %5E)"
        )
    return f"leafnodes {{\n  remotes = [ {{ url: {json.dumps(url)} }} ]\n}}\n"


def wifi_configuration(told: str) -> str:
    """Return wpa_supplicant's configuration for the one network that the credential `holdfast.wifi` describes.

    Name and key are written as hexadecimal digits: neither can carry other configuration.

    Raises:
        UsageError: it is not as the module's head says.
    """
    try:
        network = json.loads(told)
        ssid = network["ssid"].encode()
        psk, country = network["psk"], network["country"]
        usable = (
            set(network) == {"ssid", "psk", "country"}
            and 0 < len(ssid) <= _LONGEST_SSID_BYTES
            and _PSK.fullmatch(psk)
            and _COUNTRY.fullmatch(country)
        )
    except (ValueError, LookupError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise UsageError(
            'credential holdfast.wifi: expected {"ssid": "...", "psk": 64 hexadecimal digits, "country": "DE"}'
        )
    return (
        f"country={country}\np2p_disabled=1\nnetwork={{\n  ssid={ssid.hex()}\n  psk={psk}\n"
        "  key_mgmt=WPA-PSK WPA-PSK-SHA256\n  ieee80211w=1\n  scan_ssid=1\n}\n"
    )


def environment(text: str) -> str:
    """Return the lines of `holdfast.env`, checked.

    Raises:
        UsageError: a line is not HOLDFAST_KEY=VALUE; the message has its number.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    for number, line in enumerate(lines, 1):
        if not _ENV_LINE.fullmatch(line):
            raise UsageError(
                f"credential holdfast.env, line {number}: expected HOLDFAST_KEY=VALUE, found {line!r}"
            )
    return "".join(f"{line}\n" for line in lines)


def _credential(name: str) -> str | None:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(directory) / name if directory else None
    return path.read_text().strip() if path is not None and path.is_file() else None


def _is_filled(path: Path) -> bool:
    """Tell whether there is a file; a power cut can leave an empty one."""
    return path.is_file() and path.stat().st_size > 0


def _robot_toml(root: Path) -> str:
    path = root / "etc/holdfast/robot.toml"
    return (path if _is_filled(path) else root / "usr/share/holdfast/robot.toml").read_text()


def personalise(
    root: Path,
    robot_id: str | None,
    fleet_url: str | None,
    env: str | None,
    robot_toml: str | None = None,
    wifi: str | None = None,
) -> list[str]:
    """Apply what is given below `root`; return the names of the files that changed.

    Raises:
        UsageError: a value is malformed; files named before it in the module's list may be written already.
    """
    once = [robot_toml, robot_id, fleet_url]
    if wifi is not None:  # so that a card from before this credential is the same one still
        once.append(wifi)
    given = hashlib.sha256(json.dumps(once).encode()).hexdigest()
    applied = root / _APPLIED
    anew = not (applied.is_file() and applied.read_text() == given)
    if anew or not _is_filled(root / "etc/holdfast/robot.toml"):
        toml = _robot_toml(root) if robot_toml is None else robot_toml
        if robot_id is not None:
            toml = with_robot_id(toml, robot_id)
    else:
        toml = _robot_toml(root)
    tomllib.loads(toml)
    wanted = [("etc/holdfast/robot.toml", toml, 0o644)]
    if fleet_url is not None and anew:
        wanted.append(("etc/holdfast/fleet.conf", fleet_configuration(fleet_url), 0o600))
    if wifi is not None and anew:
        wanted.append(("etc/holdfast/wifi.conf", wifi_configuration(wifi), 0o600))
    if env is not None:
        wanted.append(("run/holdfast.env", environment(env), 0o644))
    changed = [name for name, text, mode in wanted if write_durably(root / name, text, mode)]
    if anew and any(value is not None for value in once):
        write_durably(applied, given, 0o600)
    return changed


def main() -> int:
    """Apply the credentials; a malformed one is reported on standard error and leaves the robot as it was."""
    try:
        changed = personalise(
            Path("/"),
            _credential("holdfast.robot-id"),
            _credential("holdfast.fleet-url"),
            _credential("holdfast.env"),
            _credential("holdfast.robot-toml"),
            _credential("holdfast.wifi"),
        )
    except (UsageError, OSError, tomllib.TOMLDecodeError) as error:
        print(f"<3>{error}", file=sys.stderr)
        return 1
    print(f"<6>changed: {', '.join(changed) or 'nothing'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
