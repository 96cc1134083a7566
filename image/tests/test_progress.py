"""What a person sees of a long step."""

from __future__ import annotations

import io
from contextlib import suppress

import pytest
from rich.console import Console

from holdfast_image.progress import Steps


def steps_on(*, terminal: bool) -> tuple[Steps, io.StringIO]:
    screen = io.StringIO()
    return Steps(Console(file=screen, force_terminal=terminal, width=120)), screen


def test_transfer_on_a_terminal_is_a_bar_with_its_rate() -> None:
    steps, screen = steps_on(terminal=True)
    with steps.transfer("write", 4_000_000) as advance:
        advance(1_000_000)
        advance(3_000_000)
    assert "100%" in screen.getvalue()
    assert "4.0/4.0 MB" in screen.getvalue()
    assert "B/s" in screen.getvalue()


def test_transfer_elsewhere_is_a_line_a_tenth() -> None:
    steps, screen = steps_on(terminal=False)
    with steps.transfer("write", 1000) as advance:
        for _ in range(100):
            advance(10)
    lines = screen.getvalue().splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        *(f"write: {percent} %" for percent in range(10, 101, 10)),
        "done write",
    ]
    assert steps.seconds.keys() == {"write"}


@pytest.mark.parametrize("terminal", [False, True])
def test_failed_transfer_says_so_without_a_rate(terminal: bool) -> None:
    steps, screen = steps_on(terminal=terminal)
    with suppress(OSError), steps.transfer("write", 1000) as advance:
        advance(10)
        raise OSError("gone")
    assert "failed" in screen.getvalue().splitlines()[-1]
    assert "1.0 kB" not in screen.getvalue().splitlines()[-1]


@pytest.mark.parametrize("terminal", [False, True])
def test_step_is_timed(terminal: bool) -> None:
    steps, screen = steps_on(terminal=terminal)
    with steps.step("build"):
        pass
    assert "build" in screen.getvalue()
    assert steps.seconds.keys() == {"build"}
