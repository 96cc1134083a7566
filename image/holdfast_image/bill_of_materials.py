"""The bill of materials of an image: CycloneDX 1.6, every package with version, hash and licences.

The same image has the same file: its serial number follows from the image's version and content, its date is the one of
all files in the image.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.message import Message
from importlib.metadata import distributions
from pathlib import Path
from typing import cast

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.spdx import is_supported_id
from packageurl import PackageURL

from holdfast_image.packages import Package

_NAMESPACE = uuid.UUID("6b1bb1a5-1a66-4d5e-a1f4-6f0b1d6cf0a1")
_FIRST_LINE_CHARACTERS = 80
# What the compiler puts from the builder tree into our executables, whose documentation the tree lacks.
COMPILED_IN = {
    "libcli11-dev": "BSD-3-Clause",
    "libeigen3-dev": "MPL-2.0",
    "libexpected-dev": "CC0-1.0",
    "libtomlplusplus-dev": "MIT",
    "nlohmann-json3-dev": "MIT",
}
# Ollama has these besides.
_IN_OLLAMA = {"libminiaudio-dev": "MIT-0", "libstb-dev": "MIT"}
_CLASSIFIERS = {"Apache Software License": "Apache-2.0", "MIT License": "MIT"}


def debian_components(
    packages: Iterable[Package], licences: Mapping[str, Sequence[str]]
) -> Iterator[Component]:
    """Yield one component a package; `licences` by the package's name."""
    for package in packages:
        url = PackageURL(
            "deb", "debian", package.name, package.version, {"arch": package.architecture, "distro": "trixie"}
        )
        yield _component(
            package.name, package.version, url, licences.get(package.name, ()), _hash_of(package)
        )


def libraries_compiled_in(builder: Iterable[Package], *, with_ollama: bool = False) -> dict[Package, str]:
    """Return the libraries of a builder tree whose code is inside the image's executables, and their licences."""
    licences = COMPILED_IN | (_IN_OLLAMA if with_ollama else {})
    return {package: licences[package.name] for package in builder if package.name in licences}


def compiled_in_components(sources: Mapping[Package, str]) -> Iterator[Component]:
    """Yield one component a package of the builder tree whose code was compiled; `sources` gives each its licence."""
    for package, licence in sources.items():
        yield from debian_components([package], {package.name: [licence]})


def go_components(modules: Iterable[Package]) -> Iterator[Component]:
    """Yield one component a Go module; which licence its text is, is not guessed."""
    for module in modules:
        namespace, _, name = module.name.rpartition("/")
        url = PackageURL("golang", namespace, name, module.version)
        yield _component(module.name, module.version, url, (), None)


def python_components(site: Path) -> Iterator[Component]:
    """Yield one component a Python distribution installed in `site`."""
    for found in sorted(distributions(path=[str(site)]), key=lambda each: each.metadata["Name"].lower()):
        metadata = cast("Message", found.metadata)
        name = metadata["Name"]
        url = PackageURL("pypi", None, re.sub(r"[-_.]+", "-", name).lower(), found.version)
        yield _component(name, found.version, url, _python_licences(metadata), None)


def bill_of_materials(version: str, components: Iterable[Component], source_date: int) -> str:
    """Return the CycloneDX document of the image `version` as JSON text.

    Args:
        version: the image's version, and the hash of what it was made from.
        components: what is in it.
        source_date: seconds since 1970, the date of everything in the image.
    """
    image = Component(
        name="holdfast", version=version, type=ComponentType.OPERATING_SYSTEM, bom_ref="holdfast-image"
    )
    image.licenses.add(LicenseFactory().make_from_string("Apache-2.0"))
    bom = Bom(components=components)
    bom.metadata.component = image
    bom.metadata.timestamp = datetime.fromtimestamp(source_date, UTC)
    named = "\n".join(sorted(str(component.purl) for component in bom.components))
    bom.serial_number = uuid.uuid5(_NAMESPACE, f"{version}\n{named}")
    bom.register_dependency(image, bom.components)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _component(
    name: str, version: str, url: PackageURL, licences: Sequence[str], sha256: HashType | None
) -> Component:
    component = Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        purl=url,
        bom_ref=url.to_string(),
        hashes=[sha256] if sha256 else (),
    )
    # CycloneDX has one expression or a list of licences, not both.
    if len(licences) == 1:
        component.licenses.add(LicenseFactory().make_from_string(licences[0]))
    else:
        component.licenses.update(_licence(text) for text in licences)
    return component


def _licence(text: str) -> DisjunctiveLicense:
    if is_supported_id(text):
        return LicenseFactory().make_with_id(text)
    return LicenseFactory().make_with_name(text)


def _hash_of(package: Package) -> HashType | None:
    if len(package.sha256) != 64:
        return None
    return HashType(alg=HashAlgorithm.SHA_256, content=package.sha256)


def _python_licences(metadata: Message) -> list[str]:
    if expression := metadata["License-Expression"]:
        return [expression]
    named = [
        _CLASSIFIERS.get(text.rpartition(" :: ")[2], text.rpartition(" :: ")[2])
        for text in metadata.get_all("Classifier", [])
        if text.startswith("License ::") and not text.endswith("OSI Approved")
    ]
    if named:
        return sorted(set(named))
    # Some have the whole text here; its first line is its name.
    first = str(metadata["License"] or "").strip().partition("\n")[0]
    return [first[:_FIRST_LINE_CHARACTERS]] if first else []
