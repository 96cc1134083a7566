"""Which drives may be erased, told from what lsblk says, and how they are listed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from programs import program

from holdfast_image.cli import image
from holdfast_image.drives import (
    BlockDevice,
    read_listing,
    refuse_drive_in_use,
    refuse_unfit_drive,
    removable_drives,
)
from holdfast_image.errors import DriveError, HostError

CARD_BYTES = 31_914_983_424
Entry = dict[str, Any]


def entry(path: str, kind: str = "disk", *children: Entry, mounted: str | None = None, **more: Any) -> Entry:
    """Return one device as lsblk 2.38 prints it."""
    return {
        "path": path,
        "type": kind,
        "size": CARD_BYTES,
        "ro": False,
        "rm": True,
        "hotplug": True,
        "vendor": "Generic ",
        "model": "SD/MMC",
        "tran": "usb",
        "log-sec": 512,
        "maj:min": "8:16",
        "fstype": None,
        "label": None,
        "mountpoints": [mounted],
        **({"children": list(children)} if children else {}),
        **more,
    }


def drive(*arguments: Any, **more: Any) -> BlockDevice:
    (found,) = read_listing(json.dumps({"blockdevices": [entry(*arguments, **more)]}))
    return found


def test_free_card_may_be_erased() -> None:
    card = drive("/dev/sdb", "disk", entry("/dev/sdb1", "part"), entry("/dev/sdb2", "part"))
    refuse_drive_in_use(card, {"254:0"})
    refuse_unfit_drive(card, CARD_BYTES)


@pytest.mark.parametrize("place", ["/", "/boot", "/boot/efi", "/usr"])
def test_drive_of_the_system_is_refused(place: str) -> None:
    disk = drive("/dev/sda", "disk", entry("/dev/sda1", "part", mounted=place))
    with pytest.raises(DriveError, match="this system runs from"):
        refuse_drive_in_use(disk, set())


def test_system_below_encryption_and_volumes_is_found() -> None:
    volume = entry("/dev/mapper/vg-root", "lvm", mounted="/")
    disk = drive("/dev/sda", "disk", entry("/dev/sda2", "part", entry("/dev/mapper/luks", "crypt", volume)))
    with pytest.raises(DriveError, match="this system runs from"):
        refuse_drive_in_use(disk, set())


def test_system_that_shows_no_mount_point_is_found_by_its_number() -> None:
    disk = drive("/dev/sda", "disk", entry("/dev/sda1", "part", **{"maj:min": "8:1"}))
    with pytest.raises(DriveError, match="this system runs from"):
        refuse_drive_in_use(disk, {"8:1"})


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (entry("/dev/sdb", mounted="/media/card"), "/dev/sdb is mounted at /media/card"),
        (entry("/dev/sdb", "disk", entry("/dev/sdb1", "part", mounted="/media/x")), "run `umount /dev/sdb1`"),
        (entry("/dev/sdb", "disk", entry("/dev/sdb2", "part", mounted="[SWAP]")), "run `swapoff /dev/sdb2`"),
        (
            entry("/dev/sdb", "disk", entry("/dev/sdb1", "part", entry("/dev/md0", "raid1"))),
            r"in use by /dev/md0 \(raid1\)",
        ),
        (entry("/dev/sdb", "disk", entry("/dev/mapper/x", "lvm")), "in use by /dev/mapper/x"),
        (entry("/dev/sdb1", "part"), "not a whole drive"),
        (entry("/dev/sr0", "rom"), "not a whole drive"),
        (entry("/dev/sdb", ro=True), "read-only"),
    ],
)
def test_drive_in_use_is_refused(card: Entry, said: str) -> None:
    (found,) = read_listing(json.dumps({"blockdevices": [card]}))
    with pytest.raises(DriveError, match=said):
        refuse_drive_in_use(found, set())


def test_too_small_drive_is_refused_with_both_sizes() -> None:
    with pytest.raises(DriveError, match=rf"31\.9 GB \({CARD_BYTES} bytes\).*{CARD_BYTES + 512} bytes"):
        refuse_unfit_drive(drive("/dev/sdb"), CARD_BYTES + 512)


def test_drive_with_large_sectors_is_refused() -> None:
    with pytest.raises(DriveError, match="sectors of 4096 bytes"):
        refuse_unfit_drive(drive("/dev/nvme0n1", **{"log-sec": 4096}), 512)


@pytest.mark.parametrize("text", ["", "{}", '{"blockdevices": [{"path": "/dev/sdb"}]}'])
def test_listing_that_cannot_be_read(text: str) -> None:
    with pytest.raises(HostError, match=r"util-linux 2\.37"):
        read_listing(text)


def test_this_machines_lsblk_can_be_read() -> None:
    assert all(found.removable and found.size_bytes for found in removable_drives())


@pytest.fixture
def machine_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Puts a stand-in for lsblk on PATH that tells of other drives."""

    def plug(*entries: Entry) -> None:
        listing = tmp_path / "listing.json"
        listing.write_text(json.dumps({"blockdevices": list(entries)}))
        program(tmp_path, "lsblk", f"exec /bin/cat {listing}")
        monkeypatch.setenv("PATH", str(tmp_path))

    return plug


def test_list_shows_cards_and_leaves_out_what_is_built_in(machine_with: Any) -> None:
    machine_with(
        entry("/dev/nvme0n1", mounted="/", rm=False, hotplug=False, tran="nvme"),
        entry("/dev/sdb", "disk", entry("/dev/sdb1", "part", mounted="/media/card")),
        entry("/dev/sdc", size=0),
        entry("/dev/mmcblk0", rm=False, vendor=None, model=None, tran=None),
        entry("/dev/sr0", "rom"),
        entry("/dev/loop0", "loop"),
    )
    result = CliRunner().invoke(image, ["list", "--json"])
    assert result.exit_code == 0
    found = json.loads(result.stdout)["drives"]
    assert [one["device"] for one in found] == ["/dev/sdb", "/dev/mmcblk0"]
    assert found[0] == {
        "device": "/dev/sdb",
        "size_bytes": CARD_BYTES,
        "model": "Generic SD/MMC",
        "transport": "usb",
        "mounted_at": ["/media/card"],
        "system": False,
    }
    text = CliRunner().invoke(image, ["list"], env={"COLUMNS": "120"}).stdout
    assert "31.9 GB" in text
    assert "/media/card" in text
    assert "not mounted" in text


def test_list_says_that_this_system_runs_from_a_card(machine_with: Any) -> None:
    machine_with(entry("/dev/mmcblk0", "disk", entry("/dev/mmcblk0p2", "part", mounted="/")))
    assert "this system runs from it" in CliRunner().invoke(image, ["list"], env={"COLUMNS": "120"}).stdout


def test_list_says_that_there_is_none(machine_with: Any) -> None:
    machine_with(entry("/dev/nvme0n1", rm=False, hotplug=False))
    result = CliRunner().invoke(image, ["list"])
    assert result.exit_code == 0
    assert "no removable drive" in result.stdout
    assert json.loads(CliRunner().invoke(image, ["list", "--json"]).stdout) == {"ok": True, "drives": []}


def test_list_without_lsblk_fails_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    result = CliRunner().invoke(image, ["list", "--json"])
    assert result.exit_code == 1
    assert "install util-linux" in json.loads(result.stdout)["error"]
