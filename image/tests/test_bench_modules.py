"""Modules of the bench's kernel: built for one kernel, and refused in an image that has another."""

import json
from pathlib import Path

import pytest

from holdfast_image.bench_modules import Kernel, assemble, kernel_of_headers, require_kernel
from holdfast_image.errors import BuildError

RELEASE = "6.12.118+deb13-rt-amd64"
KERNEL = Kernel(RELEASE, "6.12.118-1")
STATUS = """\
Package: linux-headers-6.12.118+deb13-common-rt
Status: install ok installed
Version: 6.12.118-1
Description: common headers
 Version: not a field

Package: linux-headers-6.12.118+deb13-rt-amd64
Status: install ok installed
Source: linux
Version: 6.12.118-1

Package: linux-headers-rt-amd64
Version: 6.12.118-1

Package: linux-source-6.12
Version: 6.12.118-1
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return tmp_path / "image.manifest"


def packages(*listed: tuple[str, str]) -> str:
    return json.dumps({"packages": [{"name": name, "version": version} for name, version in listed]})


def test_kernel_is_that_of_the_headers() -> None:
    assert kernel_of_headers(STATUS) == KERNEL


def test_tree_without_headers() -> None:
    with pytest.raises(BuildError, match=r"found 0; remove the cache's builder-\* folders"):
        kernel_of_headers("Package: linux-source-6.12\nVersion: 6.12.118-1\n")


def test_source_of_another_version_than_the_headers() -> None:
    older = "6.12.117-1".join(STATUS.rsplit("6.12.118-1", 1))
    with pytest.raises(
        BuildError, match=r"headers of 6\.12\.118\+deb13-rt-amd64 .* linux-source-6\.12 6\.12\.117-1"
    ):
        kernel_of_headers(older)


def test_image_with_the_kernel_of_the_headers(manifest: Path) -> None:
    manifest.write_text(packages((f"linux-image-{RELEASE}", "6.12.118-1"), ("linux-image-rt-amd64", "9")))
    require_kernel(KERNEL, manifest, "")


@pytest.mark.parametrize(
    "listed",
    [
        [("linux-image-6.12.119+deb13-rt-amd64", "6.12.119-1")],
        [(f"linux-image-{RELEASE}", "6.12.118-2")],
        [(f"linux-image-{RELEASE}", "6.12.118-1"), ("linux-image-6.12.119+deb13-rt-amd64", "6.12.119-1")],
        [],
    ],
    ids=["newer", "same release, newer package", "two", "none"],
)
def test_image_with_another_kernel(manifest: Path, listed: list[tuple[str, str]]) -> None:
    manifest.write_text(packages(*listed))
    with pytest.raises(BuildError, match=r"gpio-sim was built for .*\(6\.12\.118-1\); remove the tree"):
        require_kernel(KERNEL, manifest, "remove the tree")


def test_module_lies_where_depmod_prefers_it(tmp_path: Path) -> None:
    (tmp_path / "gpio-sim.ko").write_bytes(b"elf")
    assemble(KERNEL, tmp_path / "gpio-sim.ko", tmp_path / "tree")
    assert (tmp_path / f"tree/usr/lib/modules/{RELEASE}/updates/gpio-sim.ko").read_bytes() == b"elf"
