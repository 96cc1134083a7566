"""`holdfast image verify` on small disk images with a real partition table, FAT and erofs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from disk_images import MIB, SECTOR

from holdfast_image.cli import image

PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"
SEED = "6b1bb1a5-1a66-4d5e-a1f4-6f0b1d6cf0a1"
ESP_OFFSET, ROOT_OFFSET, SIZE = MIB, 5 * MIB, 16 * MIB
TABLE = f"""label: gpt
label-id: {SEED}
start={ESP_OFFSET // SECTOR}, size={4 * MIB // SECTOR}, type=U, name=esp, uuid={SEED}
start={ROOT_OFFSET // SECTOR}, size={10 * MIB // SECTOR}, type=L, name=root, uuid={SEED}
"""
EPOCH = 1_750_000_000
Change = Callable[[Path], object]


def ran(*command: str | Path, text: str = "") -> None:
    environment = {
        **os.environ,
        "PATH": PATH,
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "MTOOLSRC": os.devnull,
    }
    subprocess.run(command, input=text.encode(), check=True, env=environment, capture_output=True)


def linked_elsewhere(tree: Path) -> None:
    (tree / "usr/bin/link").unlink()
    (tree / "usr/bin/link").symlink_to("other")


def make_disk(disk: Path, work: Path, change: Change = lambda tree: None, ids: str = SEED) -> Path:
    """Make a disk image; `change` is applied to the files before they go into the root file system."""
    tree = work / f"{disk.parent.name}-{disk.name}"
    (tree / "etc").mkdir(parents=True)
    (tree / "usr/bin").mkdir(parents=True)
    (tree / "etc/hostname").write_text("robot\n")
    (tree / "usr/bin/tool").write_text("#!/bin/sh\n")
    (tree / 'usr/bin/a "b" c').write_text("odd\n")
    (tree / "usr/bin/link").symlink_to("tool")
    change(tree)
    loader = work / "loader.conf"
    loader.write_text("timeout 0\n")
    for path in (tree, *tree.rglob("*"), loader):
        if path.lstat().st_mtime > EPOCH + 1:
            os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    disk.parent.mkdir(exist_ok=True)
    with disk.open("wb") as file:
        file.truncate(SIZE)
    ran("sfdisk", "--quiet", disk, text=TABLE)
    ran("mformat", "-i", f"{disk}@@{ESP_OFFSET}", "-T", str(4 * MIB // SECTOR), "-N", "1234abcd", "::")
    ran("mcopy", "-m", "-i", f"{disk}@@{ESP_OFFSET}", loader, "::/loader.conf")
    root = work / "root.erofs"
    ran("mkfs.erofs", "-zlz4hc", "-U", ids, "--preserve-mtime", root, tree)
    with disk.open("r+b") as file:
        file.seek(ROOT_OFFSET)
        file.write(root.read_bytes())
    return disk


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return make_disk(tmp_path / "first/image.raw", tmp_path)


def verified(a: Path, b: Path, code: int) -> dict[str, object]:
    result = CliRunner().invoke(image, ["verify", str(a), str(b), "--json"])
    assert result.exit_code == code, result.output
    said = json.loads(result.stdout)
    assert isinstance(said, dict)
    return said


def first_difference(a: Path, b: Path) -> tuple[str | None, str | None, str]:
    said = verified(a, b, code=1)
    assert said["ok"] is False
    differences = said["differences"]
    assert isinstance(differences, list)
    return differences[0]["partition"], differences[0]["path"], differences[0]["why"]


def test_two_equal_builds(first: Path, tmp_path: Path) -> None:
    second = make_disk(tmp_path / "second/image.raw", tmp_path).parent
    said = verified(first.parent, second, code=0)
    assert (said["ok"], said["differences"]) == (True, [])


def test_what_robots_install_is_compared_too(first: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    shutil.copytree(first.parent, second)
    for build, content in ((first.parent, b"root\0"), (second, b"root\1")):
        (build / "update").mkdir()
        (build / "update/holdfast_1.0.0.efi").write_bytes(b"kernel")
        (build / "update/holdfast_1.0.0.root.raw").write_bytes(content)
    said = verified(first.parent, second, code=1)
    assert said["differences"] == [
        {
            "artefact": "update/holdfast_1.0.0.root.raw",
            "why": "the first other byte is 4",
            "partition": None,
            "path": None,
        }
    ]


def test_a_folder_without_room_for_the_files_of_a_disk_is_named(
    first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = make_disk(
        tmp_path / "second/image.raw", tmp_path, lambda tree: (tree / "etc/new").write_text("x")
    )
    full = tmp_path / "no-folder"
    monkeypatch.setattr("tempfile.tempdir", str(full))
    result = CliRunner().invoke(image, ["verify", str(first), str(second), "--json"])
    assert result.exit_code == 1
    assert "set TMPDIR to a folder with more room" in json.loads(result.stdout)["error"]


CHANGES: dict[str, tuple[Change, str, str]] = {
    "content": (
        lambda tree: (tree / "etc/hostname").write_text("other\n"),
        "/etc/hostname",
        "content: 6 bytes, sha256 ",
    ),
    "mode": (lambda tree: (tree / "usr/bin/tool").chmod(0o4755), "/usr/bin/tool", "mode: 0644 / 4755"),
    "unreadable": (lambda tree: (tree / "etc/hostname").chmod(0), "/etc/hostname", "mode: 0644 / 0000"),
    "time": (
        lambda tree: os.utime(tree / "etc/hostname", (1, 1)),
        "/etc/hostname",
        "modification time: 2025-06-15 15:06:40.000000000 / 1970-01-01 00:00:01.000000000",
    ),
    "time of a link": (
        lambda tree: os.utime(tree / "usr/bin/link", (1, 1), follow_symlinks=False),
        "/usr/bin/link",
        "modification time: ",
    ),
    "odd name": (
        lambda tree: (tree / 'usr/bin/a "b" c').chmod(0o755),
        '/usr/bin/a "b" c',
        "mode: 0644 / 0755",
    ),
    "one more": (lambda tree: (tree / "etc/new").write_text("x"), "/etc/new", "only in the second"),
    "one less": (lambda tree: (tree / "etc/hostname").unlink(), "/etc/hostname", "only in the first"),
    "target of a link": (linked_elsewhere, "/usr/bin/link", "target: tool / other"),
}


@pytest.mark.parametrize(("change", "path", "why"), CHANGES.values(), ids=CHANGES)
def test_first_file_that_differs(first: Path, tmp_path: Path, change: Change, path: str, why: str) -> None:
    second = make_disk(tmp_path / "second/image.raw", tmp_path, change)
    found = first_difference(first, second)
    assert found[:2] == ("2 (root)", path)
    assert found[2].startswith(why)


def test_same_files_in_another_file_system(first: Path, tmp_path: Path) -> None:
    second = make_disk(tmp_path / "second/image.raw", tmp_path, ids=SEED.replace("6", "7"))
    partition, path, why = first_difference(first, second)
    assert (partition, path) == ("2 (root)", None)
    assert why.startswith("no file of the erofs differs; the first other byte is 10")


def test_the_efi_system_partition_is_looked_into(first: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.raw"
    shutil.copyfile(first, second)
    changed = tmp_path / "loader.conf"
    changed.write_text("timeout 5\n")
    os.utime(changed, (EPOCH, EPOCH))
    ran("mcopy", "-o", "-m", "-i", f"{second}@@{ESP_OFFSET}", changed, "::/loader.conf")
    partition, path, why = first_difference(first, second)
    assert (partition, path) == ("1 (esp)", "/loader.conf")
    assert why.startswith("content: ")


def test_bytes_that_no_file_has(first: Path, tmp_path: Path) -> None:
    def changed(name: str, offset: int) -> Path:
        second = tmp_path / name
        shutil.copyfile(first, second)
        with second.open("r+b") as file:
            file.seek(offset)
            file.write(b"x")
        return second

    free = changed("free.raw", ROOT_OFFSET + 10 * MIB - 5)
    where = f"no file of the erofs differs; the first other byte is {10 * MIB - 5} of the partition"
    assert first_difference(first, free) == ("2 (root)", None, where)
    outside = changed("outside.raw", ESP_OFFSET - 7)
    where = f"outside of the partitions: the first other byte is {ESP_OFFSET - 7}"
    assert first_difference(first, outside) == (None, None, where)


def test_partition_table_comes_after_the_files(first: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.raw"
    shutil.copyfile(first, second)
    ran("sfdisk", "--quiet", "--part-label", second, "2", "other")
    why = "partition table: partition 2 (root), name: root / other"
    assert first_difference(first, second) == (None, None, why)
    # As in two images with different roots: the ids of their partitions are the root hash.
    change, path, _ = CHANGES["content"]
    third = make_disk(tmp_path / "third/image.raw", tmp_path, change)
    ran("sfdisk", "--quiet", "--part-uuid", third, "2", SEED.replace("6", "7"))
    assert first_difference(first, third)[:2] == ("2 (root)", path)


def test_partitions_of_different_sizes_and_places(first: Path, tmp_path: Path) -> None:
    change, path, _ = CHANGES["one more"]
    second = make_disk(tmp_path / "second/image.raw", tmp_path, change)
    content = second.read_bytes()[ROOT_OFFSET : ROOT_OFFSET + 9 * MIB]
    table = TABLE.replace(f"start={ROOT_OFFSET // SECTOR}, size={10 * MIB // SECTOR}", "start={}, size={}")
    ran("sfdisk", "--quiet", second, text=table.format(6 * MIB // SECTOR, 9 * MIB // SECTOR))
    with second.open("r+b") as file:
        file.seek(6 * MIB)
        file.write(content)
    assert first_difference(first, second)[:2] == ("2 (root)", path)


def test_the_artefact_nearest_to_the_cause_is_named_first(first: Path, tmp_path: Path) -> None:
    second = make_disk(tmp_path / "second/image.raw", tmp_path, CHANGES["mode"][0])
    for folder, initrd in ((first.parent, b"same, a"), (second.parent, b"same, b!")):
        (folder / "image.initrd").write_bytes(initrd)
        (folder / "image.efi").write_bytes(initrd)
        (folder / "image.json").write_text(str(folder))
    (first.parent / "image.manifest").write_text("{}")
    result = CliRunner().invoke(image, ["verify", str(first.parent), str(second.parent)])
    assert result.exit_code == 1
    assert "first difference: image.initrd: 7 / 8 bytes, the first other byte is 6" in result.stdout
    assert "and 3 more; --json lists them" in result.stdout
    said = verified(first.parent, second.parent, code=1)["differences"]
    assert isinstance(said, list)
    assert [found["artefact"] for found in said] == [
        *("image.initrd", "image.raw", "image.efi", "image.manifest")
    ]
    assert said[-1]["why"] == "only in the first"


def test_places_that_cannot_be_compared(first: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for a, b, why in (
        (first.parent, first, "name two folders or two files"),
        (first.parent, tmp_path / "empty", "there is no image.raw in"),
    ):
        assert why in str(verified(a, b, code=2)["error"])
    missing = CliRunner().invoke(image, ["verify", str(first), str(tmp_path / "none")])
    assert missing.exit_code == 2


def test_damaged_file_system_is_one_sentence(first: Path, tmp_path: Path) -> None:
    second = tmp_path / "second.raw"
    shutil.copyfile(first, second)
    with second.open("r+b") as file:
        # The inodes, behind the superblock that still names an erofs.
        file.seek(ROOT_OFFSET + 1024 + 128)
        file.write(b"\xff" * 4096)
    error = str(verified(first, second, code=1)["error"])
    assert f"{second}: erofs cannot be read" in error
    assert "\n" not in error
