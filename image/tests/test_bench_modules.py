"""Modules of the bench's kernel: built for one kernel, and refused in an image that has another."""

import json
from pathlib import Path

import pytest

from holdfast_image.bench_modules import Kernel, assemble, kernel_of_headers, require_kernel
from holdfast_image.errors import BuildError
from holdfast_image.packages import Package

RELEASE = "6.12.118+deb13-rt-amd64"
KERNEL = Kernel(RELEASE, "6.12.118-1")
HEADERS = Package(f"linux-headers-{RELEASE}", "6.12.118-1", "amd64")
SOURCE = Package("linux-source-6.12", "6.12.118-1", "all")
OTHERS = [
    Package("linux-headers-6.12.118+deb13-common-rt", "6.12.118-1", "all"),
    Package("linux-headers-rt-amd64", "6.12.118-1", "amd64"),
]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return tmp_path / "image.manifest"


def packages(*listed: tuple[str, str]) -> str:
    return json.dumps({"packages": [{"name": name, "version": version} for name, version in listed]})


def test_kernel_is_that_of_the_headers() -> None:
    assert kernel_of_headers([*OTHERS, HEADERS, SOURCE]) == KERNEL


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ([SOURCE], r"found 0; remove the cache's builder-\* folders"),
        (
            [SOURCE, HEADERS, Package("linux-headers-6.12.119+deb13-rt-amd64", "6.12.119-1", "amd64")],
            "found 2",
        ),
        ([HEADERS], r"linux-source-6\.12 none"),
        (
            [HEADERS, Package("linux-source-6.12", "6.12.117-1", "all")],
            r"6\.12\.118\+deb13-rt-amd64 6\.12\.118-1, but of linux-source-6\.12 6\.12\.117-1",
        ),
    ],
)
def test_a_tree_that_modules_cannot_be_built_in(found: list[Package], message: str) -> None:
    with pytest.raises(BuildError, match=message):
        kernel_of_headers([*OTHERS, *found])


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
