"""What every board's image has."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast_image.boards import BOARDS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", BOARDS)
def test_an_image_knows_its_board(name: str) -> None:
    profile = ROOT / "image/mkosi.profiles" / BOARDS[name].profiles[-1]
    assert (profile / "mkosi.extra/usr/lib/holdfast/board").read_text() == f"{name}\n"
