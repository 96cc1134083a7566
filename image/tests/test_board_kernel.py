"""Which source a board's kernel is compiled from, and what of its configuration Linux did not take."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from holdfast_image.board_kernel import KERNELS, kernel_source
from holdfast_image.boards import BOARDS
from holdfast_image.errors import BuildError
from holdfast_image.packages import Package

ROOT = Path(__file__).parents[2]
CONFIGURATION = Package("linux-config-7.3", "7.3.4-1~bpo13+1", "arm64")
SOURCE = Package("linux-source-7.3", "7.3.4-1~bpo13+1", "all")
OTHERS = [Package("linux-source-6.12", "6.12.118-1", "all"), Package("linux-config", "1", "arm64")]


def test_source_and_configuration_are_of_one_version() -> None:
    assert kernel_source([*OTHERS, SOURCE, CONFIGURATION]) == ("7.3", SOURCE)


@pytest.mark.parametrize(
    ("packages", "message"),
    [
        ([SOURCE], "found 0"),
        ([CONFIGURATION, Package("linux-config-7.4", "7.4.1-1", "arm64"), SOURCE], "found 2"),
        ([CONFIGURATION], r"linux-source-7\.3 none"),
        ([CONFIGURATION, Package("linux-source-7.3", "7.3.5-1", "all")], r"linux-source-7\.3 7\.3\.5-1"),
    ],
)
def test_a_mirror_between_two_versions_is_refused(packages: list[Package], message: str) -> None:
    with pytest.raises(BuildError, match=message):
        kernel_source([*OTHERS, *packages])


def unmet(folder: Path, fragment: str, config: str) -> subprocess.CompletedProcess[str]:
    (folder / "board.config").write_text(fragment)
    (folder / ".config").write_text(config)
    return subprocess.run(
        [ROOT / KERNELS / "unmet.sh", folder / "board.config", folder / ".config"],
        capture_output=True,
        text=True,
        check=False,
    )


FRAGMENT = '# What it is for\nCONFIG_A=y\nCONFIG_B="text"\n# CONFIG_C is not set\n# CONFIG_D is not set\n'


def test_what_linux_took_is_met(tmp_path: Path) -> None:
    # An option whose menu is off is not mentioned at all.
    done = unmet(tmp_path, FRAGMENT, 'CONFIG_A=y\nCONFIG_B="text"\nCONFIG_CC=y\n# CONFIG_C is not set\n')
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ('CONFIG_A=m\nCONFIG_B="text"\n', "CONFIG_A=y"),
        ('CONFIG_AB=y\nCONFIG_B="text"\n', "CONFIG_A=y"),
        ('CONFIG_A=y\nCONFIG_B=""\n', 'CONFIG_B="text"'),
        ('CONFIG_A=y\nCONFIG_B="text"\nCONFIG_C=m\n', "# CONFIG_C is not set"),
    ],
)
def test_what_linux_did_not_take_is_named(tmp_path: Path, config: str, line: str) -> None:
    done = unmet(tmp_path, FRAGMENT, config)
    assert done.returncode == 1
    assert done.stderr.splitlines()[1:] == [line]


def test_a_board_with_a_kernel_of_its_own_has_a_configuration() -> None:
    boards = {name for name, board in BOARDS.items() if board.own_kernel}
    assert {file.stem for file in (ROOT / KERNELS).glob("*.config")} == boards
