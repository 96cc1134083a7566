"""The probe's programs for the programmable I/O, cycle by cycle on a model of it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast_bench.probe.firmware import pio, table
from holdfast_bench.probe.pio_model import Program, StateMachine

COUNT_CYCLES = 7
LATEST_CYCLES = 2 * COUNT_CYCLES
"""A pass with a change lasts two counts: an edge right after its sample waits for the next one."""


def _capturing() -> StateMachine:
    machine = StateMachine(Program(pio.capture))
    machine.execute("mov", "osr", "~null")
    machine.execute("mov", "y", "~null")
    return machine


def _stamped(word: int) -> tuple[int, int]:
    """Return the cycle at which a stamp's pins were read, and their levels."""
    counts = -word & ((1 << table.COUNTER_BITS) - 1)
    return (counts - 1) * COUNT_CYCLES + 1, word >> table.COUNTER_BITS


def _run(machine: StateMachine, cycles: int, levels: dict[int, int]) -> list[tuple[int, int]]:
    """Run; `levels` are those of the pins from a cycle on. Return the stamps, taken as DMA would."""
    stamps = []
    for cycle in range(cycles):
        machine.pins = levels.get(cycle, machine.pins)
        machine.step()
        while machine.received:
            stamps.append(_stamped(machine.received.popleft()))
    return stamps


def test_one_count_is_what_the_table_says() -> None:
    assert COUNT_CYCLES * 1_000_000_000 == table.TICK_NS * 125_000_000


def test_both_programs_fit_into_one_block() -> None:
    assert len(Program(pio.capture).code) + len(Program(pio.hold).code) <= 32


@pytest.mark.parametrize("levels", range(16))
def test_the_first_pass_stamps_the_present_levels(levels: int) -> None:
    assert _run(_capturing(), 100, {0: levels}) == [(1, levels)]


@given(st.lists(st.tuples(st.integers(LATEST_CYCLES, 200), st.integers(1, 15)), max_size=40))
@settings(deadline=None, max_examples=50)
def test_each_change_is_stamped_once_never_early_and_at_most_two_counts_late(
    gaps: list[tuple[int, int]],
) -> None:
    cycle, level, levels = 0, 0, {0: 0}
    for gap, flipped in gaps:
        cycle, level = cycle + gap, level ^ flipped
        levels[cycle] = level
    stamps = _run(_capturing(), cycle + 50, levels)
    assert [level for _, level in stamps] == list(levels.values())
    lateness = [stamped - happened for (stamped, _), happened in zip(stamps, levels, strict=True)]
    assert all(0 <= late < LATEST_CYCLES for late in lateness[1:])


def test_the_counter_is_a_clock_whatever_changes() -> None:
    machine = _capturing()
    _run(machine, 70_000, {cycle: cycle // 14 % 16 for cycle in range(0, 70_000, 14)})
    counted = 0xFFFFFFFF - machine.registers["osr"]
    assert abs(counted * COUNT_CYCLES - 70_000) <= LATEST_CYCLES


def test_a_mark_stamps_levels_that_did_not_change() -> None:
    machine = _capturing()
    assert len(_run(machine, 1000, {0: 5})) == 1
    machine.execute("mov", "y", "~null")
    ((cycle, level),) = _run(machine, 1000, {})
    assert level == 5
    assert 1000 <= cycle < 1000 + LATEST_CYCLES


def test_a_full_fifo_drops_stamps_says_so_and_does_not_stop_the_clock() -> None:
    machine = _capturing()
    for cycle in range(20 * 21):
        machine.pins = cycle // 21 % 2
        machine.step()
    assert len(machine.received) == 8
    assert machine.dropped
    assert abs((0xFFFFFFFF - machine.registers["osr"]) * COUNT_CYCLES - 20 * 21) <= LATEST_CYCLES


HOLD_CYCLES = 5


def _high(machine: StateMachine, cycles: int) -> list[bool]:
    pins = []
    for _ in range(cycles):
        machine.step()
        pins.append(bool(machine.pin))
    return pins


def test_the_contact_is_open_until_a_word_comes() -> None:
    machine = StateMachine(Program(pio.hold))
    machine.pin = 1
    assert not any(_high(machine, 100)[1:])


@pytest.mark.parametrize("rounds", [1, 2, 1000])
def test_a_word_closes_the_contact_for_so_many_rounds_and_then_it_stays_open(rounds: int) -> None:
    machine = StateMachine(Program(pio.hold))
    machine.sent.append(rounds)
    pins = _high(machine, rounds * HOLD_CYCLES + 200)
    assert rounds * HOLD_CYCLES - HOLD_CYCLES < sum(pins) <= rounds * HOLD_CYCLES + HOLD_CYCLES
    assert not any(pins[-100:])


def test_words_in_time_keep_the_contact_closed() -> None:
    machine = StateMachine(Program(pio.hold))
    pins = []
    for _ in range(20):
        machine.sent.append(100)
        pins += _high(machine, 99 * HOLD_CYCLES)
    assert all(pins[10:])


def test_zero_opens_the_contact_at_once_and_never_closes_it() -> None:
    machine = StateMachine(Program(pio.hold))
    machine.sent.append(0)
    assert not any(_high(machine, 100))
    machine.sent.append(1000)
    assert _high(machine, 20)[-1]
    machine.sent.append(0)
    assert not any(_high(machine, 100)[2 * HOLD_CYCLES :])
