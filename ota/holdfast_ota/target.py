"""Names of what can be updated: kind, name and version, and their place in the repository.

A target's path is `<kinds>/<name>/<version><suffix>`, for example `controllers/motion/1.4.0.wasm`. The path
alone decides which delegated role may sign it, so a path is only accepted in exactly the form that
`Target.path` writes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePosixPath

from packaging.version import InvalidVersion, Version

MAX_CONTROLLER_BYTES = 1 << 20
"""What a robot's verification takes (`kMaxSourceBytes`, runtime/control/src/wasm)."""

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")


class Kind(Enum):
    """What a target is; each kind has its own delegated role, and so its own key."""

    CONTROLLER = ("controller", "controllers", ".wasm")
    SKILL = ("skill", "skills", ".wasm")
    MODEL = ("model", "models", ".gguf")
    CONFIG = ("config", "configs", ".toml")
    OS = ("os", "os", ".efi")

    def __init__(self, word: str, role: str, suffix: str) -> None:
        self.word = word
        self.role = role
        self.suffix = suffix

    @property
    def path_pattern(self) -> str:
        """Paths that the role of this kind may sign; a glob never crosses a `/` in TUF."""
        return f"{self.role}/*/*{self.suffix}"


def parse_version(text: str) -> Version:
    """Read a version such as `3` or `1.4.0rc1`; they are ordered by PEP 440.

    Raises:
        ValueError: not a version, or one with an epoch or a local part, which have no place in a path.
    """
    try:
        version = Version(text)
    except InvalidVersion:
        raise ValueError(
            f"{text!r} is not a version: write a number or semantic version such as 3 or 1.4.0"
        ) from None
    if version.epoch or version.local:
        raise ValueError(
            f"{text!r} has an epoch or a local part (! or +): write a version such as 3 or 1.4.0"
        )
    return version


def next_version(version: Version) -> Version:
    """Return the version that follows: the last number of the release plus one (3 → 4, 1.4.0 → 1.4.1)."""
    if version.is_prerelease:
        return Version(version.base_version)
    *head, last = version.release
    return Version(".".join(str(part) for part in (*head, last + 1)))


@dataclass(frozen=True, order=True)
class Target:
    """One version of one thing; ordered by version within a name."""

    kind_word: str
    name: str
    version: Version

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name!r} is not a name for a target: use 1 to 64 small letters, digits, - and _, "
                "beginning and ending with a letter or digit"
            )

    @classmethod
    def of(cls, kind: Kind, name: str, version: str | Version) -> Target:
        """Make a target of a kind.

        Raises:
            ValueError: the name or the version cannot be used.
        """
        return cls(kind.word, name, parse_version(version) if isinstance(version, str) else version)

    @classmethod
    def parse(cls, path: str) -> Target:
        """Read a target's path.

        Raises:
            ValueError: the path is not exactly what `path` would write (unknown kind, `..`, another
            spelling).
        """
        parts = PurePosixPath(path).parts
        kind = next((kind for kind in Kind if parts and kind.role == parts[0]), None)
        if kind is None:
            raise ValueError(f"{path!r} is of no known kind ({', '.join(kind.role for kind in Kind)})")
        if len(parts) != 3 or not parts[2].endswith(kind.suffix):
            raise ValueError(f"{path!r} is not a target: expected {kind.role}/<name>/<version>{kind.suffix}")
        target = cls.of(kind, parts[1], parts[2].removesuffix(kind.suffix))
        if target.path != path:
            raise ValueError(f"{path!r} is not written as {target.path!r}")
        return target

    @property
    def kind(self) -> Kind:
        """The kind, with its role and suffix."""
        return next(kind for kind in Kind if kind.word == self.kind_word)

    @property
    def path(self) -> str:
        """Path below `targets/` in the repository."""
        return f"{self.kind.role}/{self.name}/{self.version}{self.kind.suffix}"

    def __str__(self) -> str:
        return f"{self.kind_word} {self.name} {self.version}"
