"""The Debian packages of an image, each with the SHA-256 of its .deb, and of the builder tree.

mkosi's manifests name what is installed; the .deb files themselves are in its package cache, where apt left them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast_image.errors import BuildError, UsageError

ARCHIVES = Path("cache/apt/archives")
"""Below mkosi's package cache."""
UNKNOWN_HASH = "-"
"""Of a package whose .deb is not kept: those of the builder tree."""


@dataclass(frozen=True, order=True)
class Package:
    """A binary package."""

    name: str
    version: str
    architecture: str
    sha256: str = UNKNOWN_HASH

    @property
    def file_name(self) -> str:
        """Return what apt calls its .deb."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"

    def __str__(self) -> str:
        return f"{self.name} {self.version} {self.architecture} {self.sha256}"


def image_packages(manifests: Iterable[Path], archives: Path) -> list[Package]:
    """Return what mkosi says it has installed, sorted, with the hashes of the files it installed them from.

    Raises:
        BuildError: a .deb is no longer there.
    """
    listed = {
        Package(package["name"], package["version"], package["architecture"])
        for manifest in manifests
        for package in json.loads(manifest.read_text())["packages"]
    }
    missing = [
        package.file_name for package in sorted(listed) if not (archives / package.file_name).is_file()
    ]
    if missing:
        raise BuildError(
            f"{archives} lacks {', '.join(missing)}, which the image was made from; remove mkosi/cache and "
            "mkosi/packages of the cache folder and build again, both from the mirror as it is now"
        )
    return [_hashed(package, archives) for package in sorted(listed)]


def _hashed(package: Package, archives: Path) -> Package:
    with (archives / package.file_name).open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Package(package.name, package.version, package.architecture, digest)


def tree_packages(dpkg_status: str) -> list[Package]:
    """Return the packages of a /var/lib/dpkg/status, sorted."""
    found = []
    for stanza in dpkg_status.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Version|Architecture): (.+)$", stanza, re.MULTILINE))
        if fields:
            found.append(Package(fields["Package"], fields["Version"], fields["Architecture"]))
    return sorted(found)


_AGAIN = "remove the cache's builder-* folders and build again"


def only_one(packages: Iterable[Package], name: re.Pattern[str], what: str) -> tuple[re.Match[str], Package]:
    """Return the package of a builder tree whose name is like this, and how.

    Raises:
        BuildError: there is none, or several.
    """
    found = [(match, package) for package in packages if (match := name.fullmatch(package.name)) is not None]
    if len(found) != 1:
        raise BuildError(f"expected {what} in the builder tree, found {len(found)}; {_AGAIN}")
    return found[0]


def of_same_version(packages: Iterable[Package], name: str, other: Package) -> Package:
    """Return the package of a builder tree that was made from the same source as another one of it.

    Raises:
        BuildError: it is not there, or in another version.
    """
    found = [package for package in packages if package.name == name]
    if [package.version for package in found] != [other.version]:
        versions = ", ".join(package.version for package in found) or "none"
        raise BuildError(
            f"the builder tree has {other.name} {other.version}, but of {name} {versions}; "
            f"the mirror was between two versions: {_AGAIN}"
        )
    return found[0]


def listing(packages: Sequence[Package], headline: str = "") -> str:
    """Return packages as lines of text, sorted, below a comment."""
    comment = "".join(f"# {line}\n" for line in headline.splitlines())
    return comment + "".join(f"{package}\n" for package in sorted(packages))


def read_listing(file: Path) -> list[Package]:
    """Return the packages of a file that `listing` made.

    Raises:
        UsageError: it has a line of another form.
    """
    found = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        if not line or line.startswith("#"):
            continue
        fields = line.split()
        if len(fields) != 4:
            raise UsageError(f"{file}, line {number}: expected name, version, architecture and SHA-256")
        found.append(Package(*fields))
    return found
