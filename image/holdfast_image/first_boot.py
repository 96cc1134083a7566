"""The first-boot configuration of a flashed image: checked here, applied on the robot.

Each value becomes a credential that the image knows: `holdfast.*` of `holdfast_image.guest.firstboot`, and systemd's
own for host name and ssh keys (systemd.system-credentials(7)).
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from holdfast.config import GpioLine, RobotConfig, canonical_line, load_robot_config
from holdfast.errors import ConfigError
from holdfast_image.errors import HostError, UsageError
from holdfast_image.guest.factory_reset import RESET_LINE
from holdfast_image.guest.firstboot import (
    ROBOT_ID,
    fleet_configuration,
    with_robot_id,
)

# systemd takes up to 1 MiB, sealed and in base64.
_LONGEST_BYTES = 256 << 10
# No credential: with Secure Boot a robot takes none from its card, and a TPM is best there.
ENCRYPT = "EFI/holdfast/encrypt"
"""Its presence has the first start encrypt the data partition."""
# ISO 3166 keeps these free, and a radio takes them without a word: it stays off what the country allows.
_NOT_COUNTRIES = {"UK", "EU", "XX"}


@dataclass
class FirstBoot:
    """What the robot is told at its first boot."""

    credentials: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    """What stands beside them in the EFI system partition, by its path."""
    summary: list[str] = field(default_factory=list)
    """For people; without passwords."""

    def add(self, credential: str, value: str) -> None:
        """Add a credential."""
        self.credentials[credential] = value


@dataclass(frozen=True)
class Wifi:
    """A network protected by WPA2 (or by WPA2 and WPA3) with one password for all."""

    ssid: str
    password: str = field(repr=False)
    country: str
    """ISO 3166-1 alpha-2: which channels a radio may use there."""

    def credential(self) -> str:
        """Return what the robot is told: instead of the password the key that IEEE 802.11i derives from it.

        Raises:
            UsageError: a value is one that no network can have.
        """
        if (
            not 8 <= len(self.password) <= 63
            or not self.password.isascii()
            or not self.password.isprintable()
        ):
            raise UsageError("the Wi-Fi password: WPA2 has 8 to 63 printable ASCII characters")
        try:
            ssid = self.ssid.encode()
        except UnicodeEncodeError:
            raise UsageError(f"Wi-Fi {self.ssid!r}: the name of the network is not UTF-8") from None
        if not 0 < len(ssid) <= 32:
            raise UsageError(
                f"Wi-Fi {self.ssid!r}: the name of a network has 1 to 32 bytes, this one {len(ssid)}"
            )
        if not re.fullmatch("[A-Z]{2}", self.country) or self.country in _NOT_COUNTRIES:
            raise UsageError(
                f"Wi-Fi country {self.country!r}: use the two capital letters of ISO 3166, such as DE, GB or US"
            )
        psk = hashlib.pbkdf2_hmac("sha1", self.password.encode(), ssid, 4096, 32)
        return json.dumps({"ssid": self.ssid, "psk": psk.hex(), "country": self.country})


def first_boot(
    host_name: str | None = None,
    ssh_keys: Sequence[Path] = (),
    nats: str | None = None,
    robot: Path | None = None,
    wifi: Wifi | None = None,
    *,
    encrypt: bool = False,
    reset_line: str | None = None,
) -> FirstBoot:
    """Return the configuration, every value of it checked.

    Raises:
        UsageError: a value is malformed.
        HostError: ssh-keygen is missing.
    """
    told = FirstBoot()
    if host_name is not None:
        name = checked_host_name(host_name)
        told.add("holdfast.robot-id", name)
        told.add("system.hostname", name)
        told.summary.append(f"host name and robot id {name}")
    keys = [key for file in ssh_keys for key in _public_keys(file)]
    if keys:
        lines = "".join(f"{line}\n" for line, _ in keys)
        told.add("ssh.authorized_keys.admin", lines)
        # A release lets no root in; its bench variant does.
        told.add("ssh.authorized_keys.root", lines)
        told.summary += [f"ssh key {fingerprint}" for _, fingerprint in keys]
    else:
        told.summary.append("no ssh key, so nobody can log in")
    if nats is None:
        told.summary.append("no fleet")
    else:
        told.add("holdfast.fleet-url", checked_leaf_url(nats))
        told.summary.append(f"fleet {_without_password(nats)}")
    if wifi is not None:
        told.add("holdfast.wifi", wifi.credential())
        told.summary.append(f"Wi-Fi {wifi.ssid!r}, country {wifi.country}")
    if reset_line is not None:
        reset_line = checked_line(reset_line)
        told.files[RESET_LINE] = reset_line.encode()
        told.summary.append(
            f"who holds {reset_line} high while it starts, for 5 s, makes it lose all its data"
        )
    if robot is not None:
        told.add("holdfast.robot-toml", checked_robot(robot, host_name, reset_line))
        told.summary.append(f"robot.toml from {robot}")
    if encrypt:
        told.files[ENCRYPT] = b""
        told.summary.append("data encrypted by the robot's TPM; without a TPM 2.0 it will not start")
        if nats is not None or wifi is not None:
            told.summary.append(
                "not encrypted: the fleet's and the Wi-Fi's keys, which stay readable on the drive"
            )
    if sum(map(len, told.credentials.values())) > _LONGEST_BYTES:
        raise UsageError(f"the first-boot configuration is longer than {_LONGEST_BYTES} bytes; shorten it")
    return told


def checked_host_name(name: str) -> str:
    """Return `name` if it can be the robot's host name and its id, which are one.

    Raises:
        UsageError: it is no single label of RFC 1123 in small letters.
    """
    if not ROBOT_ID.fullmatch(name):
        raise UsageError(
            f"host name {name!r}: use 1 to 63 small letters, digits and '-', beginning and ending with a letter "
            "or digit (RFC 1123), without a domain; it is the robot's id too"
        )
    return name


def checked_leaf_url(url: str) -> str:
    """Return `url` if it can be where a robot's broker dials to.

    Raises:
        UsageError: it is not the URL of a leaf node's hub, or its host or port is malformed.
    """
    fleet_configuration(url)
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise UsageError(
            f"fleet URL {_without_password(url)!r}: host or port is malformed; "
            "expected nats-leaf://user:password@host:port"
        )
    return url


def checked_line(line: str) -> str:
    """Return `line` as the initrd reads it if it names a GPIO line as robot.toml does.

    Raises:
        UsageError: it does not.
    """
    try:
        TypeAdapter(GpioLine).validate_python(line)
    except ValidationError:
        raise UsageError(
            f'reset line {line!r}: write "CHIP:NUMBER", for example "gpiochip0:17"; the chip is its device or its label'
        ) from None
    return line.removeprefix("/dev/")


def checked_robot(file: Path, host_name: str | None, reset_line: str | None) -> str:
    """Return the text of a robot.toml that the runtime takes, and that has no other use for the reset line.

    Raises:
        UsageError: with every problem of it, as `holdfast robot check` shows them.
    """
    try:
        config = load_robot_config(file, {})
    except ConfigError as error:
        raise UsageError(str(error)) from error
    _refuse_other_files(file, config)
    if reset_line is not None:
        _refuse_safety_line(file, config, reset_line)
    text = file.read_text(encoding="utf-8")
    if host_name is not None:
        with_robot_id(text, host_name)
    return text


def _refuse_other_files(file: Path, config: RobotConfig) -> None:
    if config.workspace is not None and not Path(config.workspace.urdf).is_absolute():
        raise UsageError(
            f"{file}: workspace.urdf names a file beside it, which the robot would not have; name one of the "
            "image by its whole path, or bring both with ansible/provision.yml"
        )


def _refuse_safety_line(file: Path, config: RobotConfig, reset_line: str) -> None:
    """Refuse what is high while all is well: whoever let go of the e-stop would reset the robot."""
    used = [*(config.safety.estop_lines or []), *filter(None, [config.safety.enable_line])]
    if canonical_line(reset_line) in map(canonical_line, used):
        raise UsageError(
            f"reset line {reset_line!r}: {file} has it in [safety]; give the button a line of its own"
        )


def _public_keys(file: Path) -> Iterator[tuple[str, str]]:
    """Yield each key of a file with its fingerprint; ssh-keygen reads it as the robot's sshd will."""
    text = file.read_text(encoding="utf-8", errors="replace")
    if "PRIVATE KEY" in text:
        raise UsageError(f"{file} is a private key, which stays with you; name the public one, {file}.pub")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for line in lines:
        yield line, _fingerprint(file, line)
    if not lines:
        raise UsageError(f"{file} has no ssh key in it; name a public key, such as ~/.ssh/id_ed25519.pub")


def _fingerprint(file: Path, line: str) -> str:
    try:
        ran = subprocess.run(
            ["ssh-keygen", "-l", "-f", "-"], input=f"{line}\n", capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise HostError(f"ssh-keygen cannot be run ({error.strerror}); install openssh-client") from error
    if ran.returncode != 0:
        raise UsageError(
            f"{file} has a line that is no ssh public key: {line[:40]!r}; name a file such as ~/.ssh/id_ed25519.pub"
        )
    return ran.stdout.strip()


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]
