"""Signs a finished image for UEFI Secure Boot with its owner's key.

A step of its own after the build: a build needs no key, and two builds stay comparable, which a signature, with the
time it was made at, would prevent. Signed are systemd-boot and the unified kernel image. That one holds kernel, initrd
and command line, and with the root hash in the latter it vouches for the root file system.

The signed image brings the certificate along (loader/keys/auto, systemd-boot(7)): firmware in setup mode takes it from
there, in a virtual machine by itself, on a board when somebody chooses the entry in the boot menu.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import ssl
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from holdfast_image.boards import BOARDS
from holdfast_image.disk_image import DiskImage
from holdfast_image.errors import SigningError, UsageError
from holdfast_image.guest.install import LIST
from holdfast_image.partitions import run_tool
from holdfast_image.payload import FOLDER as UPDATE
from holdfast_image.payload import sha256_of, write_list
from holdfast_image.progress import Steps

KEYS = "loader/keys/auto"
"""Where systemd-boot looks for keys to enrol."""
SIGNED_BY = "signed_by"
"""In image.json: the certificate's SHA-256 fingerprint."""
_PARTS = ("image.raw", "image.efi", "image.json", f"{UPDATE}/{LIST}")
_VARIABLES = ("PK", "KEK", "db")
_ATTRIBUTES = "NON_VOLATILE,BOOTSERVICE_ACCESS,RUNTIME_ACCESS,TIME_BASED_AUTHENTICATED_WRITE_ACCESS"
_KEY_DAYS = 3650
_LAST_WORDS = 40


@dataclass(frozen=True)
class Owner:
    """The key that signs and the certificate that firmware checks with, both PEM files."""

    key: Path
    certificate: Path

    @classmethod
    def make(cls, folder: Path, name: str) -> Owner:
        """Make a key without a password and its certificate: owner.key and owner.pem in `folder`.

        Raises:
            UsageError: there is one already, or `folder` cannot be made.
            HostError, SigningError: it cannot be made.
        """
        owner = cls(folder / "owner.key", folder / "owner.pem")
        if owner.key.exists() or owner.certificate.exists():
            raise UsageError(
                f"there is a key in {folder} already; robots that know it start nothing without it"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} cannot be made ({error.strerror}); name another folder") from error
        common_name = re.sub(r"([\\/+])", r"\\\1", name)
        with tempfile.TemporaryDirectory(prefix=".holdfast-key-", dir=folder) as scratch:
            key, certificate = Path(scratch) / "key", Path(scratch) / "certificate"
            _run(
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-utf8"),
                *(
                    "-days",
                    str(_KEY_DAYS),
                    "-subj",
                    f"/CN={common_name}",
                    "-keyout",
                    str(key),
                    "-out",
                    str(certificate),
                ),
                package="openssl",
            )
            certificate.rename(owner.certificate)
            key.rename(owner.key)
        return owner

    def certificate_der(self) -> bytes:
        """Return the certificate as firmware keeps it.

        Raises:
            UsageError: the file holds none.
        """
        try:
            text = self.certificate.read_text()
            begin, end = text.index(ssl.PEM_HEADER), text.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)
            return ssl.PEM_cert_to_DER_cert(text[begin:end])
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{self.certificate} is no certificate in PEM form ({error}); `holdfast image key` makes one"
            ) from error

    def sign(self, program: Path) -> None:
        """Sign an EFI program in place and check the signature with the certificate.

        Raises:
            SigningError: it is no EFI program, or key and certificate are no pair.
        """
        signed = program.with_name(f"{program.name}.signed")
        pair = ("--key", str(self.key), "--cert", str(self.certificate))
        _run("sbsign", *pair, "--output", str(signed), str(program))
        _run("sbverify", "--cert", str(self.certificate), str(signed))
        signed.replace(program)

    def enrolment(self, folder: Path) -> list[Path]:
        """Write what firmware in setup mode takes as its keys into `folder`: PK, KEK and db, one file each."""
        der = self.certificate_der()
        certificate, listed = folder / "certificate.der", folder / "certificate.esl"
        certificate.write_bytes(der)
        owner = str(uuid.uuid5(uuid.NAMESPACE_X500, hashlib.sha256(der).hexdigest()))
        _run("sbsiglist", "--owner", owner, "--type", "x509", "--output", str(listed), str(certificate))
        made = []
        for variable in _VARIABLES:
            made.append(folder / f"{variable}.auth")
            pair = ("--attr", _ATTRIBUTES, "--key", str(self.key), "--cert", str(self.certificate))
            _run("sbvarsign", *pair, "--output", str(made[-1]), variable, str(listed))
        return made


class Esp:
    """The EFI system partition of a disk image, as a folder of files."""

    def __init__(self, disk: Path) -> None:
        """Find it.

        Raises:
            ImageFileError: `disk` is no disk image.
            SigningError: it has no EFI system partition.
        """
        with DiskImage(disk) as image:
            offset = image.layout.esp_offset
        if offset is None:
            raise SigningError(f"{disk} has no EFI system partition; name the folder of a build")
        self._place = f"{disk}@@{offset}"

    def programs(self) -> list[str]:
        """Return the EFI programs in it."""
        listed = self._mtools("mdir", "-/", "-b", "::/EFI").decode().split("\n")
        names = [line.strip().removeprefix("::/") for line in listed]
        return sorted(name for name in names if PurePosixPath(name).suffix.lower() == ".efi")

    def get(self, name: str, target: Path) -> None:
        """Copy a file out of it."""
        self._mtools("mcopy", "-n", f"::/{name}", str(target))

    def put(self, source: Path, name: str) -> None:
        """Copy a file into it, in place of one that is there."""
        self._mtools("mcopy", "-o", str(source), f"::/{name}")

    def make_folder(self, name: str) -> None:
        """Make a folder in it."""
        self._mtools("mmd", f"::/{name}")

    def _mtools(self, program: str, *arguments: str) -> bytes:
        return _run(program, "-i", self._place, *arguments, package="mtools")


def sign_image(build: Path, target: Path, owner: Owner, steps: Steps) -> None:
    """Write a signed copy of the build in folder `build` to the new folder `target`.

    Raises:
        UsageError: there is no build, it is signed already, `target` is there, or key or certificate cannot be used.
        HostError: a program is missing.
        ImageFileError, SigningError: it cannot be signed; `target` is not there then.
    """
    build = build.resolve()
    _require_signable(build, target, owner)
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with steps.step("copy"):
            _run("cp", "-a", "--sparse=always", str(build), str(partial), package="coreutils")
        with steps.step("signatures"), tempfile.TemporaryDirectory(prefix="holdfast-sign-") as folder:
            _sign_programs(partial, owner, Path(folder))
            _add_keys(partial, owner, Path(folder))
        _note(partial / "image.json", owner)
        partial.rename(target)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise SigningError(f"{build} cannot be signed: {type(error).__name__}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _require_signable(build: Path, target: Path, owner: Owner) -> None:
    missing = [part for part in _PARTS if not (build / part).is_file()]
    if missing:
        raise UsageError(
            f"{build} is no build (it has no {', '.join(missing)}); name a folder like build/image/qemu-x86-64-release"
        )
    try:
        told = json.loads((build / "image.json").read_text())
        signed, board = SIGNED_BY in told, BOARDS.get(told.get("board"))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{build / 'image.json'} is damaged ({error}); build the image again") from error
    if signed:
        raise UsageError(f"{build} is signed already; sign the build that it was made from")
    if board is not None and not board.checks_signatures:
        raise UsageError(
            f"{build} is for a board whose boot loader checks no signatures ({board.name}): it would start anything "
            "else as well, so a signature would promise what is not there"
        )
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} is there already; remove it or name another folder")
    owner.certificate_der()
    if not owner.key.is_file():
        raise UsageError(f"there is no key {owner.key}; `holdfast image key` makes one")


def _sign_programs(build: Path, owner: Owner, scratch: Path) -> None:
    esp = Esp(build / "image.raw")
    unified = build / "image.efi"
    unsigned = sha256_of(unified)
    owner.sign(unified)
    found = False
    for number, name in enumerate(esp.programs()):
        program = scratch / f"{number}.efi"
        esp.get(name, program)
        if sha256_of(program) == unsigned:
            shutil.copyfile(unified, program)
            found = True
        else:
            owner.sign(program)
        esp.put(program, name)
    if not found:
        raise SigningError(f"image.efi is not on the disk in {build}; build the image again")
    _into_update(build / UPDATE, unified)


def _into_update(update: Path, unified: Path) -> None:
    told = json.loads((update / LIST).read_text())
    name = f"holdfast_{told['version']}.efi"
    _replace(update / name, lambda file: shutil.copyfile(unified, file))
    write_list(update, told["board"], told["version"])


def _add_keys(build: Path, owner: Owner, scratch: Path) -> None:
    esp = Esp(build / "image.raw")
    esp.make_folder(KEYS)
    for file in owner.enrolment(scratch):
        esp.put(file, f"{KEYS}/{file.name}")


def _note(file: Path, owner: Owner) -> None:
    fingerprint = hashlib.sha256(owner.certificate_der()).hexdigest()
    told = json.loads(file.read_text())
    text = json.dumps({**told, "key": f"{told['key']}-{fingerprint[:16]}", SIGNED_BY: fingerprint}) + "\n"
    _replace(file, lambda new: new.write_text(text))


def _replace(file: Path, write: Callable[[Path], object]) -> None:
    """Write a file anew: the copy may share its content with another name."""
    new = file.with_name(f"{file.name}.new")
    write(new)
    new.replace(file)


def _run(program: str, *arguments: str, package: str = "sbsigntool") -> bytes:
    ran = run_tool(program, package, *arguments)
    if ran.returncode != 0:
        # openssl draws its progress first.
        said = " ".join((ran.stderr or ran.stdout).decode(errors="replace").split()[-_LAST_WORDS:])
        hint = "; are key and certificate a pair?" if package == "sbsigntool" else ""
        raise SigningError(f"{program} failed: {said}{hint}")
    return ran.stdout
