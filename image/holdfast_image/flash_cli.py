"""`holdfast image flash` and `holdfast image list`: from an image file to a card that a robot boots from."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from holdfast_image.card import Card
from holdfast_image.command import fail, json_option
from holdfast_image.disk_image import ROOT_X86_64, DiskImage
from holdfast_image.drives import (
    BlockDevice,
    find_drive,
    is_system_drive,
    refuse_drive_in_use,
    refuse_unfit_drive,
    removable_drives,
    system_numbers,
)
from holdfast_image.errors import DriveError, ImageError, UsageError
from holdfast_image.esp import require_programs, seal
from holdfast_image.first_boot import ENCRYPT, FirstBoot, Wifi, first_boot
from holdfast_image.flash import Written, flash
from holdfast_image.guest.factory_reset import RESET_LINE
from holdfast_image.progress import Steps

_WIFI_PASSWORD = "HOLDFAST_WIFI_PASSWORD"  # noqa: S105 - the name of a variable
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("flash")
@click.argument("image_file", metavar="IMAGE", type=_FILE)
@click.argument("device", type=click.Path(path_type=Path))
@click.option("--host-name", metavar="NAME", help="The robot's host name and id.")
@click.option(
    "--ssh-key",
    "ssh_keys",
    metavar="FILE",
    type=_FILE,
    multiple=True,
    help="Public key that may log in as admin; several are possible.",
)
@click.option(
    "--nats",
    metavar="URL",
    envvar="HOLDFAST_FLEET_URL",
    show_envvar=True,
    help="The fleet's hub, nats-leaf://user:password@host:port.",
)
@click.option("--robot", metavar="FILE", type=_FILE, help="The robot.toml of this robot.")
@click.option(
    "--wifi",
    "ssid",
    metavar="SSID",
    help="The Wi-Fi to join (WPA2); its password is asked for, or taken from HOLDFAST_WIFI_PASSWORD.",
)
@click.option("--wifi-country", metavar="CC", help="Where the robot is, such as DE: what its radio may use.")
@click.option("--encrypt", is_flag=True, help="Encrypt the robot's data; its TPM 2.0 has the key (x86-64).")
@click.option(
    "--reset-line",
    metavar="CHIP:NUMBER",
    help="The GPIO line that makes a factory reset when it is held high for 5 s while the robot starts.",
)
@click.option("--yes", is_flag=True, help="Erase without asking.")
@json_option
def flash_command(
    image_file: Path,
    device: Path,
    host_name: str | None,
    ssh_keys: tuple[Path, ...],
    nats: str | None,
    robot: Path | None,
    ssid: str | None,
    wifi_country: str | None,
    encrypt: bool,
    reset_line: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase DEVICE, write IMAGE (raw, or compressed with zstd) to it and compare what it then holds.

    The other options make a first-boot configuration, which the robot applies by itself. sudo forgets what is in the
    environment, unless it is told: sudo --preserve-env=HOLDFAST_FLEET_URL,HOLDFAST_WIFI_PASSWORD.

    Exit codes: 0 done, 1 refused or failed, 2 wrong option or place.

    Example: holdfast image flash image.raw.zst /dev/sdb --host-name arm-02 --ssh-key ~/.ssh/id_ed25519.pub
    """
    steps = Steps()
    try:
        wifi = _wifi(ssid, wifi_country)
        told = first_boot(host_name, ssh_keys, nats, robot, wifi, encrypt=encrypt, reset_line=reset_line)
        if told.credentials or told.files:
            require_programs()
        files = {**seal(told.credentials), **told.files}
        with DiskImage(image_file) as disk_image:
            if files and disk_image.layout.esp_offset is None:
                raise UsageError(f"{image_file} has no EFI system partition for a first-boot configuration")
            if encrypt and ROOT_X86_64 not in disk_image.layout.kinds:
                raise UsageError(
                    f"{image_file} is not for x86-64: no other board has a TPM that could keep the key; "
                    "leave out --encrypt"
                )
            drive = find_drive(device)
            refuse_drive_in_use(drive, system_numbers())
            refuse_unfit_drive(drive, disk_image.layout.size_bytes)
            with Card(drive.path, drive.size_bytes) as card:
                _describe(drive, told)
                if not yes:
                    _ask(drive, disk_image)
                with _stopped_by_signals():
                    written = flash(disk_image, card, files, steps)
    except ImageError as error:
        fail("flash", error, as_json=as_json)
    _report(drive, written, told, steps, as_json=as_json)


@click.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print the drives as JSON on standard output.")
def list_command(as_json: bool) -> None:
    """Show the removable drives with a medium in them.

    Exit codes: 0 done, also if there are none; 1 failed.

    Example: holdfast image list
    """
    try:
        drives = removable_drives()
        system = system_numbers()
    except ImageError as error:
        fail("list", error, as_json=as_json)
    if as_json:
        click.echo(json.dumps({"ok": True, "drives": [_described(drive, system) for drive in drives]}))
    elif not drives:
        click.echo("There is no removable drive. Plug one in; an adapter shows only with a card in it.")
    else:
        table = Table("device", "size", "model", "transport", "mounted at", box=None)
        for drive in drives:
            places = "this system runs from it" if is_system_drive(drive, system) else _places(drive)
            table.add_row(
                str(drive.path), decimal(drive.size_bytes), drive.name, drive.transport or "", places
            )
        Console(highlight=False).print(table)


def _wifi(ssid: str | None, country: str | None) -> Wifi | None:
    """Return the network of the options, its password from the environment or asked for."""
    if ssid is None and country is None:
        return None
    if ssid is None or country is None:
        raise UsageError("--wifi and --wifi-country belong together: a radio must know where it is")
    password = os.environ.get(_WIFI_PASSWORD)
    if password is None:
        if not sys.stdin.isatty():
            raise UsageError(
                f"{_WIFI_PASSWORD} is not set, and there is nobody to ask for the Wi-Fi's password"
            )
        password = click.prompt(f"Password of the Wi-Fi {ssid!r}", hide_input=True, err=True)
    return Wifi(ssid, password, country)


def _places(drive: BlockDevice) -> str:
    return ", ".join(drive.mounted_at) or "not mounted"


def _described(drive: BlockDevice, system: set[str]) -> dict[str, object]:
    return {
        "device": str(drive.path),
        "size_bytes": drive.size_bytes,
        "model": drive.name,
        "transport": drive.transport,
        "mounted_at": drive.mounted_at,
        "system": is_system_drive(drive, system),
    }


def _describe(drive: BlockDevice, told: FirstBoot) -> None:
    removable = "removable" if drive.removable else "NOT removable: a drive of this computer"
    click.echo(f"{drive.path}: {drive.name}, {decimal(drive.size_bytes)}, {removable}", err=True)
    for part in drive.children:
        found = " ".join(filter(None, (part.file_system, part.label))) or "unknown content"
        click.echo(f"  {part.path}: {found}, {decimal(part.size_bytes)}", err=True)
    for line in told.summary:
        click.echo(f"first boot: {line}", err=True)


def _ask(drive: BlockDevice, disk_image: DiskImage) -> None:
    size = decimal(disk_image.layout.size_bytes)
    question = f"Everything on {drive.path} will be lost. Erase it and write {disk_image.path.name} ({size})?"
    try:
        sure = click.confirm(question, err=True)
    except click.Abort:
        sure = False
    if not sure:
        raise DriveError("not confirmed, so nothing was written; --yes answers for scripts")


def _report(drive: BlockDevice, written: Written, told: FirstBoot, steps: Steps, *, as_json: bool) -> None:
    if as_json:
        result = {
            "ok": True,
            "device": str(drive.path),
            "size_bytes": written.size_bytes,
            "sent_bytes": written.sent_bytes,
            "credentials": sorted(told.credentials),
            "encrypt": ENCRYPT in told.files,
            "reset_line": RESET_LINE in told.files,
            "seconds": steps.seconds,
        }
        click.echo(json.dumps(result))
    else:
        click.echo(f"{drive.path} is ready: take it out, put it into the robot, switch the robot on")


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let a request to end, or a closed terminal, be what Ctrl-C is; what is ignored (nohup) stays so."""
    numbers = [
        number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is not signal.SIG_IGN
    ]
    before = [signal.signal(number, _interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
