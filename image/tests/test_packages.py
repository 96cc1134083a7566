"""Package lists, the lock, licences and the bill of materials, on packages made here."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from holdfast_image.bill_of_materials import (
    bill_of_materials,
    compiled_in_components,
    debian_components,
    go_components,
    libraries_compiled_in,
    python_components,
)
from holdfast_image.errors import BuildError, LockError, UsageError
from holdfast_image.licences import licence_list, licence_names, read_copyrights, spdx_name
from holdfast_image.package_lock import PackageLock, package_differences
from holdfast_image.packages import Package, image_packages, listing, read_listing, tree_packages

HASH = hashlib.sha256(b"deb").hexdigest()
BASH = Package("bash", "5.2.37-2+b10", "amd64", HASH)
UTILS = Package("bsdutils", "1:2.41.5", "amd64", HASH)


def manifest(path: Path, *packages: Package) -> Path:
    listed = [
        {"name": each.name, "version": each.version, "architecture": each.architecture} for each in packages
    ]
    path.write_text(json.dumps({"packages": listed}))
    return path


def test_packages_of_image_and_initrd_have_the_hashes_of_their_files(tmp_path: Path) -> None:
    older = Package("bash", "5.2.36", "amd64", HASH)
    for name in ("bash_5.2.37-2+b10_amd64.deb", "bash_5.2.36_amd64.deb", "bsdutils_1%3a2.41.5_amd64.deb"):
        (tmp_path / name).write_bytes(b"deb")
    manifests = [manifest(tmp_path / "a", BASH, UTILS), manifest(tmp_path / "b", older, BASH)]
    assert image_packages(manifests, tmp_path) == [older, BASH, UTILS]


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"lacks bsdutils_1%3a2\.41\.5_amd64\.deb"):
        image_packages([manifest(tmp_path / "a", UTILS)], tmp_path)


def test_packages_of_a_tree() -> None:
    status = "Package: b\nStatus: x\nVersion: 2\nArchitecture: all\n\nPackage: a\nArchitecture: amd64\nVersion: 1\n"
    assert tree_packages(status) == [Package("a", "1", "amd64"), Package("b", "2", "all")]


def test_listing_reads_back(tmp_path: Path) -> None:
    (tmp_path / "list").write_text(listing([UTILS, BASH], "two lines\nof comment"))
    assert (tmp_path / "list").read_text().startswith("# two lines\n# of comment\nbash 5.2.37-2+b10 amd64 ")
    assert read_listing(tmp_path / "list") == [BASH, UTILS]
    (tmp_path / "list").write_text("bash 5.2\n")
    with pytest.raises(UsageError, match="line 1: expected name, version, architecture"):
        read_listing(tmp_path / "list")


@pytest.mark.parametrize(
    ("built", "told"),
    [
        ([BASH, UTILS], []),
        ([BASH], ["bsdutils: locked 1:2.41.5 amd64, built not at all"]),
        ([BASH, UTILS, Package("a", "1", "all", HASH)], ["a: locked not at all, built 1 all"]),
        (
            [BASH, Package("bsdutils", "1:2.42", "amd64", HASH)],
            ["bsdutils: locked 1:2.41.5 amd64, built 1:2.42 amd64"],
        ),
        (
            [BASH, Package("bsdutils", "1:2.41.5", "amd64", "0" * 64)],
            ["bsdutils: locked 1:2.41.5 amd64, built 1:2.41.5 amd64 from another file (SHA-256)"],
        ),
    ],
    ids=["met", "one less", "one more", "another version", "another file"],
)
def test_differences_from_the_lock(built: list[Package], told: list[str]) -> None:
    assert package_differences([BASH, UTILS], built) == told


def test_a_lock_is_met_or_refused_with_the_list(tmp_path: Path) -> None:
    (tmp_path / "image").mkdir()
    lock = PackageLock(tmp_path, "qemu-x86-64", "release")
    tool = Package("mkosi", "25.3", "all")
    assert lock.differences([BASH], [tool]) == [
        "image: there is no image/locks/qemu-x86-64-release.txt",
        "builder tree: there is no image/locks/builder.txt",
    ]
    lock.renew([BASH], [tool])
    lock.require(lock.differences([BASH], [tool]))
    differences = lock.differences([BASH, UTILS], [Package("mkosi", "26", "all")])
    with pytest.raises(LockError) as refused:
        lock.require(differences)
    for part in (
        "image: bsdutils: locked not at all, built 1:2.41.5 amd64",
        "builder tree: mkosi: locked 25.3 all, built 26 all",
        "holdfast image lock",
    ):
        assert part in str(refused.value)
    lock.record(differences)
    assert lock.report.read_text().splitlines() == differences
    lock.record([])
    assert not lock.report.exists()


def test_a_long_list_is_cut_on_the_screen_only(tmp_path: Path) -> None:
    lock = PackageLock(tmp_path, "board", "release")
    with pytest.raises(LockError, match="  and 5 more\n"):
        lock.require([f"line {number}" for number in range(25)])


MACHINE_READABLE = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: x

Files: *
License: GPL-2+

Files: y
License: Expat

License: GPL-2+
 text of
 License: not one
"""


def test_licences_of_a_copyright_file() -> None:
    assert licence_names(MACHINE_READABLE) == ["GPL-2.0-or-later", "MIT"]
    assert licence_names("This package was debianized by\nLicense: GPL\n") == []


@pytest.mark.parametrize(
    ("short", "spdx"),
    [
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("GPL-3", "GPL-3.0-only"),
        ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("public-domain", "public-domain"),
        ("GPL-2+ with OpenSSL exception", "GPL-2+ with OpenSSL exception"),
    ],
)
def test_names_as_spdx_has_them(short: str, spdx: str) -> None:
    assert spdx_name(short) == spdx


def test_licence_list_follows_linked_folders_and_has_each_text_once(tmp_path: Path) -> None:
    docs = tmp_path / "usr/share/doc"
    (docs / "bash").mkdir(parents=True)
    (docs / "bash/copyright").write_text(MACHINE_READABLE)
    (docs / "bsdutils").symlink_to("bash")
    none = Package("none", "1", "all")
    packages = [BASH, UTILS, none]
    texts = read_copyrights(tmp_path, packages)
    text = licence_list(packages, {name: licence_names(text) for name, text in texts.items()}, texts)
    assert "bsdutils 1:2.41.5: GPL-2.0-or-later, MIT\nnone 1: see its text\n" in text
    assert text.count("Upstream-Name") == 1
    assert "bash, bsdutils\n" in text


def python_package(site: Path, name: str, *fields: str) -> None:
    folder = site / f"{name}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(
        "\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *fields]) + "\n"
    )


def test_what_only_ollama_has_compiled_in_is_named_where_ollama_is() -> None:
    tree = [Package("libstb-dev", "0.0", "amd64"), Package("nlohmann-json3-dev", "3.11.3", "all")]
    assert [package.name for package in libraries_compiled_in(tree)] == ["nlohmann-json3-dev"]
    assert len(libraries_compiled_in(tree, with_ollama=True)) == 2


def test_bill_of_materials_is_valid_and_always_the_same(tmp_path: Path) -> None:
    python_package(tmp_path, "wasmtime", "License-Expression: Apache-2.0 WITH LLVM-exception")
    python_package(tmp_path, "Old_Style", "Classifier: License :: OSI Approved :: MIT License")
    python_package(tmp_path, "text", "License: Do what you want", " and more")
    python_package(tmp_path, "bare")
    licences = {"bash": ["GPL-3.0-or-later", "public-domain"], "bsdutils": ["MIT"]}

    def document() -> str:
        components = [
            *debian_components([UTILS, BASH], licences),
            *compiled_in_components(
                libraries_compiled_in(
                    [Package("libeigen3-dev", "3.4.0-5", "all"), Package("cmake", "3.31", "amd64")]
                )
            ),
            *python_components(tmp_path),
            *go_components([Package("std", "go1.26.11", "go"), Package("golang.org/x/net", "v0.46.0", "go")]),
        ]
        return bill_of_materials("0123456789abcdef", components, 1_750_000_000)

    text = document()
    assert text == document()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bom = json.loads(text)
    found = {component["purl"]: component for component in bom["components"]}
    assert set(found) == {
        "pkg:deb/debian/bash@5.2.37-2%2Bb10?arch=amd64&distro=trixie",
        "pkg:deb/debian/bsdutils@1:2.41.5?arch=amd64&distro=trixie",
        "pkg:deb/debian/libeigen3-dev@3.4.0-5?arch=all&distro=trixie",
        "pkg:golang/golang.org/x/net@v0.46.0",
        "pkg:golang/std@go1.26.11",
        "pkg:pypi/bare@1.0",
        "pkg:pypi/old-style@1.0",
        "pkg:pypi/text@1.0",
        "pkg:pypi/wasmtime@1.0",
    }
    bash = found["pkg:deb/debian/bash@5.2.37-2%2Bb10?arch=amd64&distro=trixie"]
    assert bash["hashes"] == [{"alg": "SHA-256", "content": HASH}]
    assert bash["licenses"] == [
        {"license": {"id": "GPL-3.0-or-later"}},
        {"license": {"name": "public-domain"}},
    ]
    assert found["pkg:pypi/wasmtime@1.0"]["licenses"][0]["expression"] == "Apache-2.0 WITH LLVM-exception"
    assert found["pkg:pypi/old-style@1.0"]["licenses"][0]["license"]["id"] == "MIT"
    assert found["pkg:pypi/text@1.0"]["licenses"][0]["license"]["name"] == "Do what you want"
    assert "licenses" not in found["pkg:pypi/bare@1.0"]
    assert bom["metadata"]["timestamp"] == "2025-06-15T15:06:40+00:00"
    assert bom["metadata"]["component"]["version"] == "0123456789abcdef"
