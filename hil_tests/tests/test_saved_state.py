"""Saved states in the cache: made once for what they depend on, never half, and not lost while a machine uses one."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_bench.qemu.saved_state import PARTS, SavedState, saved_state
from holdfast_image.boards import AMD64
from holdfast_image.build import Image
from holdfast_image.builder import Builder

TOLD = {"holdfast.robot-id": "arm-01"}


class Maker:
    """Stands for the machine that is booted: writes a state's parts, and counts how often it is asked to."""

    def __init__(self) -> None:
        self.made = 0

    def __call__(self, folder: Path) -> None:
        self.made += 1
        for part in PARTS:
            (folder / part).write_text(part)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOLDFAST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def an_image(folder: Path, key: str = "one") -> Image:
    return Image(folder, key, "qemu-x86-64", "bench", Builder(folder, "tree", AMD64), True, "image")


def test_a_state_is_made_once(tmp_path: Path) -> None:
    make = Maker()
    first = saved_state(an_image(tmp_path), "tcg", TOLD, make)
    assert saved_state(an_image(tmp_path), "tcg", dict(TOLD), make) == first
    assert make.made == 1
    assert sorted(file.name for file in first.folder.iterdir()) == sorted(PARTS)


@pytest.mark.parametrize(
    ("key", "accelerator", "told"),
    [("two", "tcg", TOLD), ("one", "kvm", TOLD), ("one", "tcg", {"holdfast.robot-id": "arm-02"})],
    ids=["image", "accelerator", "credentials"],
)
def test_what_it_depends_on_makes_another(
    tmp_path: Path, key: str, accelerator: str, told: dict[str, str]
) -> None:
    make = Maker()
    first = saved_state(an_image(tmp_path), "tcg", TOLD, make)
    assert saved_state(an_image(tmp_path, key), accelerator, told, make) != first
    assert make.made == 2


def test_a_boot_that_fails_leaves_nothing(tmp_path: Path, cache: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / PARTS[0]).touch()
        raise OSError("the power went")

    with pytest.raises(OSError, match="the power went"):
        saved_state(an_image(tmp_path), "tcg", TOLD, fails)
    assert list((cache / "saved").iterdir()) == []


def test_the_oldest_goes_but_not_while_a_machine_uses_it(tmp_path: Path) -> None:
    def of_robot(name: str) -> SavedState:
        return saved_state(an_image(tmp_path), "tcg", {"holdfast.robot-id": name}, Maker())

    first, second = of_robot("a"), of_robot("b")
    with first.in_use():
        third = of_robot("c")
        fourth = of_robot("d")
    assert [state.folder.is_dir() for state in (first, second, third, fourth)] == [True, False, True, True]
    fifth = of_robot("e")
    assert [state.folder.is_dir() for state in (first, third, fourth, fifth)] == [False, False, True, True]
