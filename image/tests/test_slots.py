"""The two slots as the image, the robot's repart.d, the initrd and mkosi name them: all four have to agree."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

from holdfast_image.build import release_version
from holdfast_image.mkosi import DISK_BYTES

IMAGE = Path(__file__).parents[1]
ROBOT = IMAGE / "mkosi.extra/usr/lib/repart.d"
INITRD = IMAGE / "mkosi.images/initrd/mkosi.extra/usr/lib/systemd/system"
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
LONGEST_LABEL = 36


def definitions(folder: Path) -> list[dict[str, str]]:
    found = []
    for file in sorted(folder.glob("*.conf")):
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read(file)
        found.append(dict(parser["Partition"]))
    return found


def size(text: str) -> int:
    return int(text[:-1]) * UNITS[text[-1]]


def test_both_slots_have_the_same_sizes() -> None:
    slots = [entry for entry in definitions(ROBOT) if entry["Type"].startswith("root")]
    assert [entry["Type"] for entry in slots] == ["root-verity", "root"] * 2
    for entry in slots:
        assert entry["SizeMinBytes"] == entry["SizeMaxBytes"]
    assert [entry["SizeMinBytes"] for entry in slots[:2]] == [entry["SizeMinBytes"] for entry in slots[2:]]
    assert [entry.get("Label") for entry in slots] == [None, None, "_empty", "_empty"]


def test_the_image_begins_as_the_robot_goes_on() -> None:
    image = definitions(IMAGE / "mkosi.repart")
    robot = definitions(ROBOT)
    assert [entry["Type"] for entry in image] == ["esp", "root-verity", "root"]
    # Only the last partition can grow.
    assert image[1]["SizeMaxBytes"] == robot[0]["SizeMaxBytes"]
    assert "SizeMaxBytes" not in image[2]


def test_the_hash_tree_of_a_full_slot_fits() -> None:
    tree, root = (size(entry["SizeMinBytes"]) for entry in definitions(ROBOT)[:2])
    hashes_a_block = 4096 // 32
    blocks, needed = root // 4096, 1
    while blocks > 1:
        blocks = -(-blocks // hashes_a_block)
        needed += blocks
    assert needed * 4096 <= tree


def test_everything_fits_into_the_image_file() -> None:
    esp = definitions(IMAGE / "mkosi.repart")[0]
    whole = size(esp["SizeMinBytes"]) + sum(size(entry["SizeMinBytes"]) for entry in definitions(ROBOT))
    assert whole + (2 << 20) <= DISK_BYTES
    assert DISK_BYTES % (128 << 20) == 0


@pytest.mark.parametrize("kind", ["_verity", ""])
def test_labels_have_room_for_the_version(kind: str) -> None:
    version = release_version(IMAGE.parent)
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert len(f"holdfast_{version}{kind}") <= LONGEST_LABEL
    labels = {entry.get("Label") for entry in definitions(IMAGE / "mkosi.repart")}
    assert f"%M_%A{kind}" in labels


def test_the_initrd_mounts_what_the_robot_makes() -> None:
    data = definitions(ROBOT)[-1]
    unit = (INITRD / "sysroot-var.mount").read_text()
    rules = (INITRD.parents[1] / "udev/rules.d/90-holdfast-drive.rules").read_text()
    assert f'ENV{{ID_PART_ENTRY_NAME}}=="{data["Label"]}", ENV{{ID_FS_TYPE}}!="crypto_LUKS", ' in rules
    assert f'ENV{{DM_NAME}}=="{data["Label"]}", ' in rules
    assert 'ENV{DM_NAME}=="holdfast-data", OPTIONS+="link_priority=100", SYMLINK+=' in rules, (
        "not a plain one beside it"
    )
    assert rules.count('SYMLINK+="holdfast-data"\n') == 2
    others, own = rules.split('TEST!="/run/holdfast-drive/$env{ID_PART_ENTRY_DISK}", GOTO="end"\n')
    assert "ID_PART_ENTRY_NAME" not in others
    assert '\nOPTIONS+="link_priority=50"\n' in own, "root and hash tree have the same ids on another drive"
    assert "What=/dev/holdfast-data\n" in unit
    assert f"Type={data['Format']}\n" in unit
    for link in (INITRD / "initrd-root-fs.target.requires").iterdir():
        assert link.resolve().is_file(), link


def test_the_first_version_is_counted_too() -> None:
    profile = IMAGE / "mkosi.profiles/systemd-boot"
    format_of_name = re.search(
        r"^UnifiedKernelImageFormat=(.*)$", (profile / "mkosi.conf").read_text(), re.MULTILINE
    )
    assert format_of_name is not None
    assert format_of_name[1] == "%i_%v+&c", (
        "guest/version_files.py and the transfer files know no other names"
    )
    assert (profile / "mkosi.extra/etc/kernel/tries").read_text() == "3\n"
