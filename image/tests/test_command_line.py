"""`holdfast image build` as its user sees it when something is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from holdfast_image.cli import image


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with nothing but a version in it, so that nothing is ever in the cache."""
    (tmp_path / "checkout/image").mkdir(parents=True)
    (tmp_path / "checkout/image/mkosi.conf").write_text("")
    (tmp_path / "checkout/pyproject.toml").write_text('[project]\nversion = "1.0.0"\n')
    monkeypatch.chdir(tmp_path / "checkout")
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "checkout"


@pytest.mark.parametrize(
    "option",
    [
        *(["--board", "toaster"], ["--variant", "gold"], ["--mirror", "not a url"]),
        *(["--release", "1"], ["--release", "1.0.0+3"], ["--release", "1.0.0-rc1"]),
    ],
)
@pytest.mark.usefixtures("checkout")
def test_wrong_option_is_exit_code_2(option: list[str]) -> None:
    result = CliRunner().invoke(image, ["build", *option])
    assert result.exit_code == 2


def test_outside_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(image, ["build", "--json"])
    assert result.exit_code == 2
    assert "no checkout of Holdfast" in json.loads(result.stdout)["error"]


def built_as(checkout: Path, *prefix: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, sys.executable, "-c", "from holdfast_image.cli import image; image()", "build", "--json"],
        cwd=checkout,
        env={**os.environ, **({"PATH": path} if path is not None else {})},
        capture_output=True,
        text=True,
        check=False,
    )


def test_missing_mmdebstrap_is_one_sentence(checkout: Path) -> None:
    result = built_as(checkout, path=str(checkout))
    assert result.returncode == 1
    error = json.loads(result.stdout)["error"]
    wanted = "mmdebstrap is not installed" if os.geteuid() == 0 else "needs root"
    assert wanted in error
    assert "\n" not in error


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make the tree")
def test_unreachable_mirror_leaves_nothing_behind(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_MIRROR", "http://127.0.0.1:9/debian")
    result = built_as(checkout)
    assert result.returncode == 1
    error = json.loads(result.stdout)["error"]
    assert "cannot fetch Debian packages from http://127.0.0.1:9/debian" in error
    assert "\n" not in error
    assert [path.name for path in (checkout.parent / "cache").iterdir()] == ["builder.lock"]
