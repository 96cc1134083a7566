"""Signing a build: real EFI programs in a real EFI system partition, signed and checked with sbsigntool."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from disk_images import EFI_PROGRAMS, ESP_OFFSET, make_image

from holdfast_image.cli import image
from holdfast_image.errors import SigningError, UsageError
from holdfast_image.progress import Steps
from holdfast_image.signing import Esp, Owner, sign_image

UNIFIED = "EFI/Linux/holdfast_1.2.0+3.efi"
BOOT_LOADERS = ("EFI/BOOT/BOOTX64.EFI", "EFI/systemd/systemd-bootx64.efi")


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Owner:
    return Owner.make(tmp_path_factory.mktemp("owner"), "owner")


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    update = folder / "update"
    update.mkdir(parents=True)
    disk = make_image(folder / "image.raw")
    for made in ("EFI", "EFI/BOOT", "EFI/systemd", "EFI/Linux", "loader", "loader/keys"):
        subprocess.run(["mmd", "-i", f"{disk}@@{ESP_OFFSET}", f"::/{made}"], check=True)
    (boot_loader,) = EFI_PROGRAMS.glob("systemd-boot*.efi")
    (unified,) = EFI_PROGRAMS.glob("linux*.efi.stub")
    for name in BOOT_LOADERS:
        Esp(disk).put(boot_loader, name)
    Esp(disk).put(unified, UNIFIED)
    shutil.copyfile(unified, folder / "image.efi")
    (update / "holdfast_1.2.0.efi").hardlink_to(folder / "image.efi")
    (update / "holdfast_1.2.0.root.raw").write_bytes(b"root")
    (update / "update.json").write_text(json.dumps({"version": "1.2.0", "board": "b", "sha256": {}}))
    (folder / "image.json").write_text(json.dumps({"key": "abc", "board": "b"}))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def is_signed(program: Path, owner: Owner) -> bool:
    ran = subprocess.run(["sbverify", "--cert", owner.certificate, program], capture_output=True, check=False)
    return ran.returncode == 0


def test_everything_that_firmware_starts_is_signed(build: Path, owner: Owner, tmp_path: Path) -> None:
    before = contents(build)
    sign_image(build, tmp_path / "signed", owner, Steps())
    esp = Esp(tmp_path / "signed/image.raw")
    assert esp.programs() == sorted((*BOOT_LOADERS, UNIFIED))
    for name in esp.programs():
        program = tmp_path / "program.efi"
        esp.get(name, program)
        assert is_signed(program, owner), name
        if name == UNIFIED:
            assert program.read_bytes() == (tmp_path / "signed/image.efi").read_bytes()
    assert contents(build) == before


def test_a_robot_is_given_the_signed_version(build: Path, owner: Owner, tmp_path: Path) -> None:
    sign_image(build, tmp_path / "signed", owner, Steps())
    update = tmp_path / "signed/update"
    assert is_signed(update / "holdfast_1.2.0.efi", owner)
    told = json.loads((update / "update.json").read_text())
    assert (told["version"], told["board"]) == ("1.2.0", "b")
    files = {name: content for name, content in contents(update).items() if name != "update.json"}
    assert told["sha256"] == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def test_the_certificate_is_there_for_firmware_to_take(build: Path, owner: Owner, tmp_path: Path) -> None:
    sign_image(build, tmp_path / "signed", owner, Steps())
    esp = Esp(tmp_path / "signed/image.raw")
    for variable in ("PK", "KEK", "db"):
        esp.get(f"loader/keys/auto/{variable}.auth", tmp_path / variable)
        assert owner.certificate_der() in (tmp_path / variable).read_bytes()
    told = json.loads((tmp_path / "signed/image.json").read_text())
    assert told["signed_by"] == hashlib.sha256(owner.certificate_der()).hexdigest()
    assert told["key"] != "abc"


def test_a_key_that_is_not_that_of_the_certificate_leaves_nothing(
    build: Path, owner: Owner, tmp_path: Path
) -> None:
    other = Owner.make(tmp_path / "other", "other")
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(SigningError, match="pair"):
        sign_image(build, tmp_path / "signed", Owner(other.key, owner.certificate), Steps())
    assert {path.name for path in tmp_path.iterdir()} == before


def test_an_esp_without_room_is_refused(build: Path, owner: Owner, tmp_path: Path) -> None:
    filler = tmp_path / "filler"
    filler.write_bytes(bytes(1 << 20))
    while (room := filler.stat().st_size) > 512:
        try:
            Esp(build / "image.raw").put(filler, f"filler.{room}")
        except SigningError:
            filler.write_bytes(bytes(room // 2))
        else:
            filler.write_bytes(bytes(room - 1))
    with pytest.raises(SigningError, match="mcopy failed"):
        sign_image(build, tmp_path / "signed", owner, Steps())
    assert not (tmp_path / "signed").exists()


def test_a_disk_that_does_not_hold_the_unified_kernel_image_is_refused(
    build: Path, owner: Owner, tmp_path: Path
) -> None:
    (boot_loader,) = EFI_PROGRAMS.glob("systemd-boot*.efi")
    shutil.copyfile(boot_loader, tmp_path / "other.efi")
    Esp(build / "image.raw").put(tmp_path / "other.efi", UNIFIED)
    with pytest.raises(SigningError, match=r"image\.efi is not on the disk"):
        sign_image(build, tmp_path / "signed", owner, Steps())


def test_what_cannot_be_signed_is_told_in_a_sentence(build: Path, owner: Owner, tmp_path: Path) -> None:
    signed = tmp_path / "signed"
    sign_image(build, signed, owner, Steps())
    with pytest.raises(UsageError, match="signed already"):
        sign_image(signed, tmp_path / "twice", owner, Steps())
    with pytest.raises(UsageError, match="is there already"):
        sign_image(build, signed, owner, Steps())
    with pytest.raises(UsageError, match=r"is no build \(it has no image\.raw"):
        sign_image(build / "update", tmp_path / "none", owner, Steps())
    with pytest.raises(UsageError, match="there is a key"):
        Owner.make(owner.key.parent, "again")
    (build / "image.json").write_text("{")
    with pytest.raises(UsageError, match=r"image\.json is damaged"):
        sign_image(build, tmp_path / "none", owner, Steps())
    (build / "image.json").write_text('{"board": "pi"}')
    with pytest.raises(UsageError, match=r"checks no signatures \(pi\)"):
        sign_image(build, tmp_path / "none", owner, Steps())
    (build / "image.json").write_text("{}")
    with pytest.raises(SigningError, match="KeyError"):
        sign_image(build, tmp_path / "none", owner, Steps())
    assert not (tmp_path / "none").exists()
    with pytest.raises(UsageError, match="no certificate in PEM form"):
        sign_image(build, tmp_path / "none", Owner(owner.key, owner.key), Steps())


@pytest.mark.parametrize("name", ["ACME A/S", "Müller + Söhne", r"a\b"])
def test_a_certificate_has_the_name_that_was_given(tmp_path: Path, name: str) -> None:
    owner = Owner.make(tmp_path, name)
    told = (
        "openssl",
        "x509",
        "-noout",
        "-subject",
        "-nameopt",
        "utf8,sep_comma_plus",
        "-in",
        str(owner.certificate),
    )
    shown = subprocess.run(told, check=True, capture_output=True, text=True).stdout.strip()
    assert shown == f"subject=CN={name}"


def test_a_place_for_a_key_that_is_a_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    with pytest.raises(UsageError, match=r"cannot be made .*name another folder"):
        Owner.make(file, "owner")
    assert file.read_text() == "kept"


def test_a_key_that_cannot_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SigningError, match="openssl failed"):
        Owner.make(tmp_path, "x" * 65)
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_may_have_text_and_a_chain_around_it(owner: Owner, tmp_path: Path) -> None:
    text = owner.certificate.read_text()
    (tmp_path / "chain.pem").write_text(f"Subject: CN=owner\n{text}{text}")
    assert Owner(owner.key, tmp_path / "chain.pem").certificate_der() == owner.certificate_der()


def test_the_commands_make_a_key_and_sign_with_it(build: Path, tmp_path: Path) -> None:
    made = CliRunner().invoke(image, ["key", str(tmp_path / "keys"), "--json"])
    assert made.exit_code == 0
    owner = json.loads(made.stdout)
    assert Path(owner["key"]).stat().st_mode & 0o077 == 0
    pair = ("--key", owner["key"], "--certificate", owner["certificate"], "--json")
    ran = CliRunner().invoke(image, ["sign", str(build), str(tmp_path / "signed"), *pair])
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["image"] == str(tmp_path / "signed")
    again = CliRunner().invoke(image, ["sign", str(build), str(tmp_path / "signed"), *pair])
    assert again.exit_code == 2
    assert not json.loads(again.stdout)["ok"]
