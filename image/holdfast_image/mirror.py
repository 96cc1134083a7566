"""Where Debian packages come from: what this machine's apt uses, or a mirror that the caller names."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

from holdfast_image.errors import UsageError

SUITE = "trixie"
# apt's settings of this machine that hold for the builder tree and for the image's packages alike.
_APT_SETTINGS = (
    "Acquire::http",
    "Acquire::https",
    "Acquire::Retries",
    "Acquire::Check-",
    "Acquire::ForceIPv",
)
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_FORMAT = "$(REPO_URI) $(RELEASE) $(COMPONENT)"


@dataclass(frozen=True)
class Mirror:
    """Debian's archive and its security archive; an empty `archive` means mmdebstrap's own default."""

    archive: str = ""
    security: str = ""

    def sources(self) -> list[str]:
        """Return apt source lines, for mmdebstrap and for the image."""
        lines = []
        if self.archive:
            lines.append(f"deb {self.archive} {SUITE} main")
        if self.security:
            lines.append(f"deb {self.security} {SUITE}-security main")
        return lines


def named_mirror(url: str) -> Mirror:
    """Return the mirror at `url`.

    Raises:
        UsageError: it is not an http, https or file URL.
    """
    if not url.startswith(("http://", "https://", "file:/")) or any(c.isspace() for c in url):
        raise UsageError(
            f"--mirror {url!r}: expected the URL of a Debian archive, http://, https:// or file:/"
        )
    return Mirror(archive=url.rstrip("/"))


def host_mirror() -> Mirror:
    """Return what this machine's apt uses; on another distribution than Debian, mmdebstrap's default."""
    release = _os_release()
    if release.get("ID") != "debian" or "VERSION_CODENAME" not in release:
        return Mirror()
    listed = _output("apt-get", "indextargets", "--format", _FORMAT, "Created-By: Packages")
    return mirror_of(listed, release["VERSION_CODENAME"])


def mirror_of(index_targets: str, codename: str) -> Mirror:
    """Pick Debian's archives out of `apt-get indextargets` lines "URI release component"."""
    uris: dict[str, str] = {}
    for line in index_targets.splitlines():
        uri, release, component = line.split(" ", 2)
        if component == "main":
            uris.setdefault(release, uri.rstrip("/"))
    return Mirror(archive=uris.get(codename, ""), security=uris.get(f"{codename}-security", ""))


def apt_settings() -> list[str]:
    """Return this machine's apt settings about proxies, retries and dates, as lines of an apt.conf."""
    dump = _output("apt-config", "dump", "--no-empty")
    return [line for line in dump.splitlines() if line.startswith(_APT_SETTINGS)]


def _output(*argv: str) -> str:
    """Return what a program of apt prints; nothing where there is no apt."""
    try:
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return ""


def _os_release() -> dict[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def write_apt_configuration(tree: Path, mirror: Mirror, archives: tuple[str, ...] = ()) -> None:
    """Write sources and settings below `tree`, which mkosi lays over its own /etc/apt.

    `archives` are more suites of the mirror, each with its components.
    """
    sources = tree / "etc/apt/sources.list.d"
    settings = tree / "etc/apt/apt.conf.d"
    sources.mkdir(parents=True, exist_ok=True)
    settings.mkdir(parents=True, exist_ok=True)
    (tree / "etc/apt/trusted.gpg.d").mkdir(exist_ok=True)
    if mirror.sources():
        # With a file of this name mkosi writes no sources of its own (a debug archive that few mirrors have).
        (sources / "mkosi.sources").write_text("")
        listed = [*mirror.sources(), *(f"deb {mirror.archive} {archive}" for archive in archives)]
        signed = [line.replace("deb ", f"deb [signed-by={_KEYRING}] ", 1) for line in listed]
        (sources / "holdfast.list").write_text("".join(f"{line}\n" for line in signed))
    (settings / "90holdfast.conf").write_text("".join(f"{line}\n" for line in apt_settings()))
