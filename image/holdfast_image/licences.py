"""The licences of an image's Debian packages, from the copyright files inside their .deb files.

The image itself has no /usr/share/doc. Files of the machine-readable format (DEP-5) name their licences; of the others
only the text is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from holdfast_image.builder import Builder
from holdfast_image.namespace import Bind, run_in_builder
from holdfast_image.packages import Package

_DOC = "usr/share/doc"
# A documentation folder may be a link to that of another package of the same source.
_EXTRACT = f"""
set -eu
for deb in "$@"; do
    name=${{deb%%_*}}
    dpkg-deb --fsys-tarfile "/hf/archives/$deb" >/tmp/data.tar
    tar -x -f /tmp/data.tar -C /hf/out --no-same-owner --no-recursion "./{_DOC}/$name" 2>/dev/null || continue
    if [ ! -L "/hf/out/{_DOC}/$name" ]; then
        tar -x -f /tmp/data.tar -C /hf/out --no-same-owner "./{_DOC}/$name/copyright" || true
    fi
done
"""
_MACHINE_READABLE = re.compile(r"^Format:\s*https?://\S*copyright-format", re.IGNORECASE)
_GNU = re.compile(r"(?P<name>A?GPL|LGPL|GFDL|GFDL-NIV)-(?P<version>\d(?:\.\d)?)(?P<later>\+?)")
# Debian's short names that SPDX spells otherwise.
_SPDX = {
    "apache-2": "Apache-2.0",
    "bsd-2-clause": "BSD-2-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "bsd-4-clause": "BSD-4-Clause",
    "expat": "MIT",
    "zlib": "Zlib",
}
_GNU_VERSIONS = {"1": "1.0", "2": "2.0", "3": "3.0"}


def extract_copyrights(
    builder: Builder, archives: Path, packages: Sequence[Package], out: Path, log: Path
) -> None:
    """Unpack the copyright file of each package below the empty folder `out`.

    Raises:
        BuildError: a .deb cannot be read.
    """
    run_in_builder(
        builder.tree,
        ["sh", "-c", _EXTRACT, "sh", *(package.file_name for package in packages)],
        [Bind(archives, "/hf/archives"), Bind(out, "/hf/out", writable=True)],
        log=log,
        what="reading the licences of the packages",
    )


def read_copyrights(folder: Path, packages: Sequence[Package]) -> dict[str, str]:
    """Return the text of each package's copyright file by the package's name, empty where it has none."""
    return {package.name: _text(folder / _DOC / package.name / "copyright") for package in packages}


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except FileNotFoundError:
        return ""


def licence_names(copyright_text: str) -> list[str]:
    """Return the licences that a machine-readable copyright file names, in SPDX's spelling where it has one, sorted."""
    if not _MACHINE_READABLE.match(copyright_text.lstrip()):
        return []
    named = re.findall(r"^License:[ \t]*(\S.*?)[ \t]*$", copyright_text, re.MULTILINE)
    return sorted({spdx_name(name) for name in named})


def spdx_name(short_name: str) -> str:
    """Return SPDX's identifier for a short name of DEP-5, or the name itself."""
    if gnu := _GNU.fullmatch(short_name):
        version = _GNU_VERSIONS.get(gnu["version"], gnu["version"])
        name = f"GFDL-{version}-no-invariants" if gnu["name"] == "GFDL-NIV" else f"{gnu['name']}-{version}"
        return f"{name}-{'or-later' if gnu['later'] else 'only'}"
    return _SPDX.get(short_name.lower(), short_name)


def licence_list(
    packages: Sequence[Package], names: Mapping[str, Sequence[str]], texts: Mapping[str, str]
) -> str:
    """Return the licences of packages and Go modules as a list, and below it the texts, each once."""
    lines = ["The packages of this image and their licences; the texts follow.", ""]
    for package in packages:
        lines.append(f"{package.name} {package.version}: {', '.join(names[package.name]) or 'see its text'}")
    shared: dict[str, list[str]] = {}
    for package in packages:
        shared.setdefault(texts[package.name], []).append(package.name)
    for text, owners in shared.items():
        lines += [
            "",
            "=" * 80,
            ", ".join(dict.fromkeys(owners)),
            "=" * 80,
            text.rstrip() or "no copyright file",
        ]
    return "\n".join(lines) + "\n"
