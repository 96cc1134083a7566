"""The console log: what is read out of what QEMU writes."""

from pathlib import Path

import pytest

from holdfast_bench.qemu.console import ConsoleLog
from holdfast_bench.qemu.errors import MachineError


@pytest.fixture
def console(tmp_path: Path) -> ConsoleLog:
    return ConsoleLog(tmp_path / "console.log")


def test_terminal_escapes_are_left_out(console: ConsoleLog) -> None:
    console.path.write_bytes(b"[\x1b[0;32m  OK  \x1b[0m] Reached target\r\n\x1b[!p\x1b]104\x1b[?7h")
    assert console.text().startswith("[  OK  ] Reached target\n")


def test_a_new_power_on_is_read_apart(console: ConsoleLog) -> None:
    console.path.write_text("first login:\n")
    console.mark()
    with console.path.open("a") as stream:
        stream.write("second\n")
    assert console.since_mark() == "second\n"
    assert console.text() == "first login:\nsecond\n"
    with pytest.raises(MachineError, match="did not show 'login:' within 0 s"):
        console.wait_for("login:", limit_s=0)


def test_what_a_machine_wrote_last_counts_though_it_has_ended(console: ConsoleLog) -> None:
    console.path.write_text("Kernel panic - not syncing\n")
    assert console.wait_for("Kernel (panic)", limit_s=0, alive=lambda: False)[1] == "panic"


def test_no_waiting_for_a_machine_that_has_ended(console: ConsoleLog) -> None:
    console.path.write_text("the last line\n")
    with pytest.raises(MachineError, match=r"(?s)ended before .*the last line"):
        console.wait_for("login:", limit_s=3600, alive=lambda: False)


def test_clock_is_that_of_the_last_kernel_message(console: ConsoleLog) -> None:
    assert console.clock_s() is None
    console.path.write_text("[    0.000000] Linux\n[   12.345678] can: raw protocol\nno clock [ 99.0] here\n")
    assert console.clock_s() == 12.345678
