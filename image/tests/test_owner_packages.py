"""Packages from an owner's archives: the file that names them, and what apt makes of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import signed_archives
from click.testing import CliRunner
from signed_archives import Signer

from holdfast_image.build import image_name
from holdfast_image.cli import image
from holdfast_image.errors import UsageError
from holdfast_image.owner_packages import OwnerPackages, read_owner_packages
from holdfast_image.package_lock import PackageLock
from holdfast_image.packages import Package

ARCHIVE = '[[archive]]\nurl = "https://mirror.test/jetson"\nsuite = "r36.4"\ncomponents = ["main"]\nkey = "owner.asc"\n'
GOOD = f'packages = ["camera-sdk", "camera-tools"]\n{ARCHIVE}'
ARMOURED = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n"


@pytest.fixture
def owner_file(tmp_path: Path) -> Callable[[str], Path]:
    (tmp_path / "owner.asc").write_bytes(ARMOURED)

    def write(text: str) -> Path:
        file = tmp_path / "camera.toml"
        file.write_text(text)
        return file

    return write


def test_a_file_says_what_from_where_and_who_signs_it(owner_file: Callable[[str], Path]) -> None:
    owner = read_owner_packages(owner_file(GOOD))
    assert owner.name == "camera"
    assert owner.names == ("camera-sdk", "camera-tools")
    (archive,) = owner.archives
    assert archive.source == "https://mirror.test/jetson r36.4 main"
    assert archive.key == ARMOURED


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "packages: Field required"),
        (ARCHIVE, "packages: Field required"),
        ('packages = ["camera-sdk"]\n', "archive: Field required"),
        (f"packages = []\n{ARCHIVE}", "packages: List should have at least 1"),
        (f'packages = "camera-sdk"\n{ARCHIVE}', "packages: Input should be a valid list"),
        (f'packages = ["--help"]\n{ARCHIVE}', "packages.0: String should match"),
        (f'packages = ["a b"]\n{ARCHIVE}', "packages.0: String should match"),
        (f'package = ["x"]\n{GOOD}', "package: Extra inputs"),
        (GOOD.replace("https:", "file:"), "archive.0.url: String should match"),
        (GOOD.replace("mirror.test/", "mirror.test/ [trusted=yes]"), "archive.0.url: String should match"),
        (GOOD.replace('"r36.4"', '"r36.4 main\\ndeb x"'), "archive.0.suite: String should match"),
        (GOOD.replace('["main"]', "[]"), "archive.0.components: List should have at least 1"),
        (GOOD.replace('key = "owner.asc"\n', ""), "archive.0.key: Field required"),
        (GOOD.replace("owner.asc", "other.asc"), "other.asc cannot be read: No such file"),
        (GOOD.replace("owner.asc", "camera.toml"), "camera.toml is no OpenPGP public key"),
        ("packages = [", "is no TOML file"),
    ],
)
def test_a_mistake_is_named(owner_file: Callable[[str], Path], text: str, said: str) -> None:
    with pytest.raises(UsageError) as told:
        read_owner_packages(owner_file(text))
    assert said in str(told.value)
    assert "camera.toml" in str(told.value) or "other.asc" in str(told.value)


@pytest.mark.parametrize(
    "name", ["Camera.toml", "camera.txt", "-camera.toml", "a b.toml", "camera", "ollama.toml"]
)
def test_the_name_ends_an_images_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(GOOD)
    with pytest.raises(UsageError, match=r"NAME\.toml"):
        read_owner_packages(tmp_path / name)


def test_an_image_is_another_one_with_other_packages_or_another_key(
    owner_file: Callable[[str], Path],
) -> None:
    first = read_owner_packages(owner_file(GOOD))
    assert first.digest == read_owner_packages(owner_file(GOOD)).digest
    assert first.digest != read_owner_packages(owner_file(GOOD.replace("-tools", "-demo"))).digest
    assert first.digest != read_owner_packages(owner_file(GOOD.replace("r36.4", "r36.5"))).digest
    (first.file.parent / "owner.asc").write_bytes(ARMOURED + b"other")
    assert first.digest != read_owner_packages(first.file).digest
    assert image_name("pi", "bench", with_ollama=True, owner=first) == "pi-bench-ollama-camera"


def test_the_lock_lies_beside_the_file_and_leaves_the_builders_alone(
    owner_file: Callable[[str], Path], tmp_path: Path
) -> None:
    repository = tmp_path / "checkout"
    own = [Package("camera-sdk", "2.1", "all", "00")]
    builder = [Package("mkosi", "25", "all")]
    plain = PackageLock(repository, "pi", "release")
    (repository / "image").mkdir(parents=True)
    plain.renew([], builder)
    lock = PackageLock(repository, "pi", "release", read_owner_packages(owner_file(GOOD)))
    assert lock.differences(own, builder) == [f"image: there is no {tmp_path}/camera.pi-release.lock.txt"]
    lock.renew(own, [])
    assert lock.differences(own, builder) == []
    assert plain.differences([], builder) == []


def test_a_build_reads_the_file_before_anything_else(tmp_path: Path) -> None:
    for command in ("build", "lock"):
        ended = CliRunner().invoke(image, [command, "--packages", str(tmp_path / "gone.toml")])
        assert ended.exit_code == 2
        assert "gone.toml cannot be read: No such file or directory" in ended.output


class Apt:
    """apt as the image's build has it, with Debian's archive and an owner's."""

    def __init__(self, folder: Path, owner: OwnerPackages, more_sources: str = "") -> None:
        self._tree = folder / "tree"
        owner.write_apt_configuration(self._tree)
        listed = self._tree / "etc/apt/sources.list.d/owner.list"
        # In the build the tree is the root.
        listed.write_text(listed.read_text().replace("=/etc", f"={self._tree}/etc") + more_sources)
        state = folder / "packages/lib/apt"
        for place in (state / "lists/partial", folder / "cache/archives/partial"):
            place.mkdir(parents=True, exist_ok=True)
        (folder / "status").touch()
        self._options = [
            f"-oDir::Etc={self._tree}/etc/apt",
            f"-oDir::State={state}",
            f"-oDir::State::status={folder}/status",
            f"-oDir::Cache={folder}/cache",
            "-oAPT::Architecture=amd64",
            "-oAPT::Architectures=amd64",
            "-oAPT::Sandbox::User=root",
            "-oAcquire::http::Proxy=DIRECT",
        ]

    def update(self) -> subprocess.CompletedProcess[str]:
        return self._run("apt-get", "update")

    def candidate(self, package: str) -> str:
        lines = self._run("apt-cache", "policy", package).stdout.splitlines()
        return "".join(line.split()[1] for line in lines if "Candidate:" in line)

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *self._options],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/bin:/bin"},
        )


@pytest.fixture(scope="module")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Signer, Signer]]:
    folder = tmp_path_factory.mktemp("keys")
    both = Signer(folder / "owner", "owner"), Signer(folder / "stranger", "stranger")
    yield both
    for signer in both:
        signer.forget()


@pytest.mark.parametrize("armour", [("--armor",), ()], ids=["armoured", "binary"])
def test_apt_takes_what_only_the_owner_has_and_keeps_debians(
    tmp_path: Path, signers: tuple[Signer, Signer], armour: tuple[str, ...]
) -> None:
    owner_signs, debian_signs = signers
    debs = tmp_path / "debs"
    mine = [
        signed_archives.make_package(debs, "camera-sdk", "2.1"),
        signed_archives.make_package(debs, "libc6", "99"),
    ]
    theirs = [signed_archives.make_package(debs, "libc6", "2.41")]
    signed_archives.make_archive(tmp_path / "served/owner", owner_signs, mine, "stable")
    signed_archives.make_archive(
        tmp_path / "served/debian", debian_signs, theirs, "trixie", "Origin: Debian\n"
    )
    (tmp_path / "owner.key").write_bytes(owner_signs.public_key(*armour))
    (tmp_path / "debian.gpg").write_bytes(debian_signs.public_key())
    with signed_archives.served(tmp_path / "served") as url:
        file = tmp_path / "camera.toml"
        file.write_text(
            f'packages = ["camera-sdk"]\n[[archive]]\nurl = "{url}/owner"\nsuite = "stable"\n'
            'components = ["main"]\nkey = "owner.key"\n'
        )
        debian = f"deb [signed-by={tmp_path}/debian.gpg] {url}/debian trixie main\n"
        apt = Apt(tmp_path, read_owner_packages(file), debian)
        updated = apt.update()
        assert updated.returncode == 0, updated.stderr
        assert apt.candidate("camera-sdk") == "2.1"
        assert apt.candidate("libc6") == "2.41", "the owner's is newer, and Debian's wins"


def test_apt_takes_nothing_from_an_archive_that_somebody_else_signed(
    tmp_path: Path, signers: tuple[Signer, Signer]
) -> None:
    owner_signs, stranger = signers
    package = signed_archives.make_package(tmp_path / "debs", "camera-sdk", "2.1")
    signed_archives.make_archive(tmp_path / "served", stranger, [package], "stable")
    key = tmp_path / "archive.asc"
    with signed_archives.served(tmp_path / "served") as url:
        file = tmp_path / "camera.toml"
        file.write_text(
            f'packages = ["camera-sdk"]\n[[archive]]\nurl = "{url}"\nsuite = "stable"\n'
            'components = ["main"]\nkey = "archive.asc"\n'
        )
        for signer, accepted in ((owner_signs, False), (stranger, True), (owner_signs, False)):
            key.write_bytes(signer.public_key("--armor"))
            owner = read_owner_packages(file)
            owner.forget_others(tmp_path / "packages", tmp_path / "installed")
            apt = Apt(tmp_path, owner)
            updated = apt.update()
            assert (updated.returncode == 0) == accepted, updated.stderr
            assert ("NO_PUBKEY" in updated.stderr) != accepted


def test_what_was_fetched_and_installed_is_used_again_by_the_same_file_only(
    owner_file: Callable[[str], Path], tmp_path: Path
) -> None:
    packages, installed = tmp_path / "packages", tmp_path / "installed"
    lists = packages / "lib/apt/lists/mirror.test_Packages"

    def built(owner: OwnerPackages) -> bool:
        """Say whether a build finds what one before it has left, and leave something."""
        owner.forget_others(packages, installed)
        found = lists.exists(), (installed / "tree").exists()
        for kept in (lists, installed / "tree"):
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.touch()
        owner.remember(installed)
        assert found[0] == found[1]
        return found[0]

    first = read_owner_packages(owner_file(GOOD))
    assert [built(first), built(first)] == [False, True]
    (first.file.parent / "owner.asc").write_bytes(ARMOURED + b"other")
    other_key = read_owner_packages(first.file)
    assert [built(other_key), built(other_key), built(first)] == [False, True, False]
