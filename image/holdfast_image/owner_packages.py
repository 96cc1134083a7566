"""Packages that an owner adds to an image, from archives that a file names (docs/image.md, "Packages of your own").

Debian's package wins where both archives have one of that name: docs/decisions/0085-packages-of-the-owner.md.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from holdfast_image.cache import content_hash
from holdfast_image.errors import UsageError
from holdfast_image.mirror import SUITE
from holdfast_image.ollama import PROFILE as OLLAMA

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_ARMOUR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_MAX_KEY_BYTES = 1 << 20
_MADE_OF = "owner-packages"
# Above all others (500), so that nothing of Debian's is replaced unnoticed; what only an owner has is taken from there.
_PREFER_DEBIAN = "".join(
    f"Package: *\nPin: release o=Debian, n={suite}\nPin-Priority: 600\n\n"
    for suite in (SUITE, f"{SUITE}-security")
)
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/~+-]*$", max_length=200)]
PackageName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]+$", max_length=200)]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _Archive(_Table):
    url: Annotated[str, Field(pattern=r"^https?://[^\s\[\]]+$")]
    suite: Word
    components: Annotated[list[Word], Field(min_length=1)]
    key: Annotated[str, Field(min_length=1)]


class _File(_Table):
    packages: Annotated[list[PackageName], Field(min_length=1)]
    archive: Annotated[list[_Archive], Field(min_length=1)]


@dataclass(frozen=True)
class Archive:
    """An archive, and who signs it."""

    source: str
    """URL, suite and components, as in apt's sources."""
    key: bytes
    """OpenPGP, armoured or not."""

    @property
    def key_suffix(self) -> str:
        """What apt tells the two forms of a key apart by."""
        return ".asc" if self.key.lstrip().startswith(_ARMOUR) else ".gpg"


@dataclass(frozen=True)
class OwnerPackages:
    """What to add, and from where."""

    file: Path
    names: tuple[str, ...]
    archives: tuple[Archive, ...]

    @property
    def name(self) -> str:
        """What the image's name ends with."""
        return self.file.stem

    @property
    def digest(self) -> str:
        """A hash over all of it that an image depends on."""
        signed = (part for archive in self.archives for part in (archive.source, archive.key.hex()))
        return content_hash(Path("/"), [], self.name, *self.names, *signed)

    def write_apt_configuration(self, tree: Path) -> None:
        """Write sources, keys and preferences below `tree`, beside those of Debian's archive."""
        for folder in ("sources.list.d", "keyrings", "preferences.d"):
            (tree / "etc/apt" / folder).mkdir(parents=True, exist_ok=True)
        lines = []
        for number, archive in enumerate(self.archives):
            keyring = f"etc/apt/keyrings/owner-{number}{archive.key_suffix}"
            (tree / keyring).write_bytes(archive.key)
            lines.append(f"deb [signed-by=/{keyring}] {archive.source}\n")
        (tree / "etc/apt/sources.list.d/owner.list").write_text("".join(lines))
        (tree / "etc/apt/preferences.d/owner").write_text(_PREFER_DEBIAN)

    def forget_others(self, packages: Path, installed: Path) -> None:
        """Remove what mkosi keeps of another file of packages: what apt has listed, and the tree they are installed in.

        Otherwise an archive whose key does not fit goes on with what was fetched from it once: apt only warns.
        """
        if not (installed / _MADE_OF).is_file() or (installed / _MADE_OF).read_text() != self.digest:
            for kept in (packages / "lib/apt/lists", installed):
                if kept.exists():
                    shutil.rmtree(kept)

    def remember(self, installed: Path) -> None:
        """Note that mkosi's tree was made as this says, so that it can be used again."""
        (installed / _MADE_OF).write_text(self.digest)


def read_owner_packages(file: Path) -> OwnerPackages:
    """Read a file of packages and the keys beside it.

    Raises:
        UsageError: it cannot be read, or says something that makes no sense; the message names file and entry.
    """
    if not _NAME.fullmatch(file.stem) or file.suffix != ".toml" or file.stem == OLLAMA:
        raise UsageError(
            f"{file}: its name becomes the end of the image's; call it NAME.toml, with small letters, digits and "
            f"dashes, and not {OLLAMA}.toml"
        )
    try:
        told = _File.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{file} is no TOML file: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{file}: {place}: {first['msg']}; docs/image.md has an example") from error
    archives = [
        Archive(f"{entry.url} {entry.suite} {' '.join(entry.components)}", _read_key(file.parent / entry.key))
        for entry in told.archive
    ]
    return OwnerPackages(file, tuple(told.packages), tuple(archives))


def _read_key(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            key = stream.read(_MAX_KEY_BYTES)
    except OSError as error:
        raise UsageError(f"the archive's key {file} cannot be read: {error.strerror}") from error
    # The first byte of a key that is not armoured has its highest bit set (RFC 9580, 4.2).
    if not key.lstrip().startswith(_ARMOUR) and not (key and key[0] & 0x80):
        raise UsageError(
            f"{file} is no OpenPGP public key; `gpg --export --armor WHO` writes one, and archives offer theirs"
        )
    return key
