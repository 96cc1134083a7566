"""Where packages come from: picked out of what apt says, or named."""

from pathlib import Path

import pytest

from holdfast_image.boards import AMD64, ARM64
from holdfast_image.builder import builder_key
from holdfast_image.errors import UsageError
from holdfast_image.mirror import Mirror, mirror_of, named_mirror, write_apt_configuration

LISTED = """\
http://elsewhere.test/tools/ stable main
http://mirror.test/debian/ bookworm main
http://mirror.test/debian/ bookworm contrib
http://mirror.test/debian/ bookworm-updates main
http://mirror.test/security/ bookworm-security main
"""


def test_archives_are_those_of_the_release() -> None:
    assert mirror_of(LISTED, "bookworm") == Mirror("http://mirror.test/debian", "http://mirror.test/security")


def test_no_archive_of_the_release_means_the_default() -> None:
    assert mirror_of("http://elsewhere.test/tools/ stable main\n", "bookworm").sources() == []


def test_no_security_archive_gives_one_line() -> None:
    (line,) = mirror_of("http://mirror.test/debian/ bookworm main\n", "bookworm").sources()
    assert line == "deb http://mirror.test/debian trixie main"


@pytest.mark.parametrize("url", ["mirror.test/debian", "ftp://mirror.test/", "http://mirror.test/a b", ""])
def test_named_mirror_must_be_a_url(url: str) -> None:
    with pytest.raises(UsageError, match="expected the URL of a Debian archive"):
        named_mirror(url)


def test_builder_differs_by_mirror_and_by_what_it_compiles_for() -> None:
    one = builder_key(named_mirror("http://one.test/"), AMD64)
    assert one != builder_key(named_mirror("http://two.test/"), AMD64)
    assert one != builder_key(named_mirror("http://one.test/"), ARM64)
    assert one == builder_key(named_mirror("http://one.test"), AMD64)


def test_image_packages_are_checked_against_debian_keys(tmp_path: Path) -> None:
    write_apt_configuration(tmp_path, Mirror("http://mirror.test/debian", "http://mirror.test/security"))
    lines = (tmp_path / "etc/apt/sources.list.d/holdfast.list").read_text().splitlines()
    assert [line.split("] ")[1] for line in lines] == [
        "http://mirror.test/debian trixie main",
        "http://mirror.test/security trixie-security main",
    ]
    assert all(line.startswith("deb [signed-by=/") for line in lines)


def test_a_board_takes_more_suites_from_the_same_mirror(tmp_path: Path) -> None:
    write_apt_configuration(tmp_path, Mirror("http://mirror.test/debian"), ("trixie-backports main",))
    lines = (tmp_path / "etc/apt/sources.list.d/holdfast.list").read_text().splitlines()
    assert [line.split("] ")[1] for line in lines] == [
        "http://mirror.test/debian trixie main",
        "http://mirror.test/debian trixie-backports main",
    ]
