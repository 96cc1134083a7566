"""The package lock: image/locks/ holds the packages that a build has to have, exactly these.

One file a board and variant and one for the builder tree, made by `holdfast image lock`. A build compares itself with
them when it is done, also one from the cache: docs/decisions/0061-reproducible-image.md says which ones fail. The lock
of an image with an owner's packages lies beside the file that names them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast_image.boards import AMD64, BOARDS
from holdfast_image.build import image_name
from holdfast_image.errors import LockError
from holdfast_image.owner_packages import OwnerPackages
from holdfast_image.packages import Package, listing, read_listing

_FOLDER = Path("image/locks")
_RENEW = "holdfast image lock"
_SHOWN = 20


@dataclass(frozen=True)
class PackageLock:
    """The locks that one build has to meet."""

    repository: Path
    board: str
    variant: str
    owner: OwnerPackages | None = None

    @property
    def image_file(self) -> Path:
        """Where the image's packages are locked."""
        if self.owner is not None:
            return self.owner.file.with_name(f"{self.owner.name}.{self.board}-{self.variant}.lock.txt")
        return self.repository / _FOLDER / f"{self.board}-{self.variant}.txt"

    @property
    def builder_file(self) -> Path:
        """Where the builder tree's packages are locked."""
        architecture = BOARDS[self.board].architecture
        suffix = "" if architecture is AMD64 else f"-{architecture.name}"
        return self.repository / _FOLDER / f"builder{suffix}.txt"

    def differences(self, image: Sequence[Package], builder: Sequence[Package]) -> list[str]:
        """Return one line for each package that is not as it is locked; none if the lock is met.

        Raises:
            UsageError: a lock file is damaged.
        """
        found = []
        for what, file, built in (
            ("image", self.image_file, image),
            ("builder tree", self.builder_file, builder),
        ):
            if not file.is_file():
                place = file.relative_to(self.repository) if file.is_relative_to(self.repository) else file
                found.append(f"{what}: there is no {place}")
                continue
            found += [f"{what}: {line}" for line in package_differences(read_listing(file), built)]
        return found

    @property
    def report(self) -> Path:
        """Where the differences of the last build are listed in full."""
        name = image_name(self.board, self.variant, with_ollama=False, owner=self.owner)
        return self.repository / "build/image" / f"{name}-lock.txt"

    def record(self, differences: Sequence[str]) -> None:
        """Write the report, or remove an older one if there is no difference."""
        if differences:
            self.report.parent.mkdir(parents=True, exist_ok=True)
            self.report.write_text("".join(f"{line}\n" for line in differences))
        else:
            self.report.unlink(missing_ok=True)

    def require(self, differences: Sequence[str]) -> None:
        """Refuse a build with differences.

        Raises:
            LockError: there are some; its text lists them.
        """
        if differences:
            raise LockError(
                f"the packages are not those of {self.image_file.parent}:\n{shown(differences)}\n"
                "build with --mirror from an archive that has the locked versions, "
                f"or renew the lock with `{_RENEW}{f' --packages {self.owner.file}' if self.owner else ''}`"
            )

    def renew(self, image: Sequence[Package], builder: Sequence[Package]) -> None:
        """Write what was built as what is to be built from now on.

        With an owner's packages not the builder tree's: that one is the checkout's.
        """
        self.image_file.parent.mkdir(exist_ok=True)
        made_by = f"{_RENEW} --packages {self.owner.file.name}" if self.owner else _RENEW
        columns = f"Made by `{made_by}`: name, version, architecture, SHA-256 of the .deb."
        self.image_file.write_text(
            listing(image, f"{columns}\nThe image {self.board} ({self.variant}), initrd included.")
        )
        if self.owner is None:
            self.builder_file.write_text(
                listing(builder, f"{columns}\nThe builder tree, whose .deb files are not kept.")
            )


def package_differences(locked: Sequence[Package], built: Sequence[Package]) -> list[str]:
    """Return one line for each name whose packages are not the same in both, sorted by name."""
    found = []
    for name in sorted({package.name for package in (*locked, *built)}):
        wanted = sorted(package for package in locked if package.name == name)
        got = sorted(package for package in built if package.name == name)
        if wanted != got:
            found.append(
                f"{name}: locked {_versions(wanted)}, built {_versions(got)}{_other_file(wanted, got)}"
            )
    return found


def shown(differences: Sequence[str]) -> str:
    """Return the first differences as lines for the screen."""
    lines = [f"  {line}" for line in differences[:_SHOWN]]
    if len(differences) > _SHOWN:
        lines.append(f"  and {len(differences) - _SHOWN} more")
    return "\n".join(lines)


def _versions(packages: Sequence[Package]) -> str:
    return ", ".join(f"{package.version} {package.architecture}" for package in packages) or "not at all"


def _other_file(wanted: Sequence[Package], got: Sequence[Package]) -> str:
    return " from another file (SHA-256)" if _versions(wanted) == _versions(got) else ""
