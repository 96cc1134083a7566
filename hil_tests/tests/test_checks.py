"""The checks after each test on the robot: what they read, what they let pass, and what was declared."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from holdfast.places import executable
from holdfast_bench.checks.counters import FAULTS, ORDINARY, TIMING, bad, growth, sample
from holdfast_bench.checks.findings import ExpectedFault, Finding, judge
from holdfast_bench.checks.fixture import folder_name
from holdfast_bench.checks.journal import ALLOWED, Entry, errors, parse
from holdfast_bench.result import BenchError

STOP = {
    "__CURSOR": "s=4f;i=2a1;b=9c;m=1;t=2;x=3",
    "__REALTIME_TIMESTAMP": "1795860000250000",
    "_BOOT_ID": "9c0c4d3a",
    "_SYSTEMD_UNIT": "holdfast-control.service",
    "SYSLOG_IDENTIFIER": "holdfast-control",
    "PRIORITY": "3",
    "MESSAGE": "estop: stop 7 is latched; safe frames are sent",
}


def entry(message: str, priority: int = 3, source: str = "kernel") -> Entry:
    return Entry(1795860000250000, source, priority, message)


# --- the journal --------------------------------------------------------------------------------------------------


def test_an_entry_is_read_with_its_unit() -> None:
    (read,) = parse([json.dumps(STOP)])
    assert read == entry(STOP["MESSAGE"], 3, "holdfast-control.service")
    assert str(read).endswith(
        ".250000 <3> holdfast-control.service: estop: stop 7 is latched; safe frames are sent"
    )


def test_what_systemd_says_of_a_unit_belongs_to_that_unit() -> None:
    line = {
        **STOP,
        "_SYSTEMD_UNIT": "init.scope",
        "UNIT": "holdfast-nats.service",
        "MESSAGE": "Failed to start",
    }
    assert parse([json.dumps(line)])[0].source == "holdfast-nats.service"


def test_the_kernel_speaks_for_itself_and_text_that_is_not_utf8_is_read() -> None:
    line = {
        "__REALTIME_TIMESTAMP": "1",
        "SYSLOG_IDENTIFIER": "kernel",
        "PRIORITY": "2",
        "MESSAGE": [79, 107, 255],
    }
    assert parse([json.dumps(line)]) == [Entry(1, "kernel", 2, "Ok\ufffd")]


def test_an_entry_without_a_priority_or_a_text_is_not_overlooked() -> None:
    (read,) = parse(['{"__REALTIME_TIMESTAMP": "1", "MESSAGE": null}'])
    assert errors([read]) == [read]


@pytest.mark.parametrize("line", ["", "[]", "{}", '{"__REALTIME_TIMESTAMP": "x"}', '{"__REALTIME_TIM'])
def test_a_line_that_is_no_entry_is_refused(line: str) -> None:
    with pytest.raises(BenchError, match="no line of journalctl"):
        parse([line])


def test_errors_and_worse_count_and_warnings_do_not() -> None:
    entries = [entry("a", 0), entry("b", 3), entry("c", 4), entry("d", 6)]
    assert [found.message for found in errors(entries)] == ["a", "b"]


def test_what_is_allowed_passes_and_what_only_resembles_it_does_not() -> None:
    seen = (
        "Failed to query local AF_VSOCK CID: Cannot assign requested address",
        "(sd-exec-[271]: /usr/lib/systemd/system-generators/systemd-ssh-generator failed with exit status 1.",
        "kvm: RT requires X86_FEATURE_CONSTANT_TSC",
        "ctx=0x561d63f7c1c0 path=/lib/modules/6.12/kernel/net/netfilter/x_tables.ko.xz error=No such file or directory",
        "ctx=0x561d63f7c1c0 path=/lib/modules/6.12/kernel/crypto/cryptd.ko.xz error=No such file or directory",
    )
    assert errors(map(entry, seen)) == []
    assert all(any(re.search(allowed.pattern, line) for line in seen) for allowed in ALLOWED)
    other = entry("ctx=0x5 path=/lib/modules/6.12/kernel/net/can/can.ko.xz error=No such file or directory")
    assert errors([other]) == [other]


# --- counters -----------------------------------------------------------------------------------------------------


def test_every_counter_of_the_core_is_judged_in_one_way() -> None:
    layout = json.loads(subprocess.check_output([executable("holdfast-control"), "--print-layout"]))
    counters = set(layout["enums"]["Counter"]) - {"count"}
    assert counters <= FAULTS | TIMING | ORDINARY
    assert counters | {"stop_frames_failed", "evidence.lost"} >= FAULTS | TIMING | ORDINARY
    assert not FAULTS & TIMING
    assert not (FAULTS | TIMING) & ORDINARY


def test_counters_grow_from_their_last_value() -> None:
    before = sample({"boot_id": 5, "counters": {"overruns": 3, "frames_sent": 10}}, {})
    after = sample({"boot_id": 5, "counters": {"overruns": 3, "frames_sent": 25}}, {})
    assert growth(before, after) == {"frames_sent": 15}


def test_another_core_has_counted_from_nothing() -> None:
    before = sample({"boot_id": 5, "counters": {"rollbacks": 2}}, {"stop_frames_failed": 4})
    after = sample(
        {"boot_id": 6, "counters": {"rollbacks": 3}}, {"stop_frames_failed": 1, "evidence": {"lost": 1}}
    )
    assert growth(before, after) == {"rollbacks": 3, "stop_frames_failed": 1, "evidence.lost": 1}


def test_a_core_that_does_not_answer_has_no_counters() -> None:
    alive = sample({"boot_id": 5, "counters": {"rollbacks": 2}}, {})
    assert growth(alive, sample({"ok": False, "error": "no such file"}, {"ok": False})) == {}


def test_lateness_is_judged_only_where_deadlines_are_kept() -> None:
    grown = {"overruns": 4, "controller_traps": 1, "frames_sent": 100}
    assert bad(grown, keeps_deadlines=False) == {"controller_traps": 1}
    assert bad(grown, keeps_deadlines=True) == {"overruns": 4, "controller_traps": 1}


# --- declared and found -------------------------------------------------------------------------------------------

LATCHED = Finding("holdfast-control.service", "estop: stop 7 is latched")


@pytest.mark.parametrize("what", ["holdfast-control.service", r"^estop: stop \d+"])
def test_a_declared_fault_may_and_must_happen(what: str) -> None:
    fault = ExpectedFault(what, "the test presses it")
    assert judge([LATCHED], [fault]) == []
    assert judge([], [fault]) == [f"expected, but did not happen: {what} (the test presses it)"]


def test_what_nobody_declared_is_named() -> None:
    other = Finding("overruns", "the counter grew by 3")
    complaints = judge([LATCHED, other], [ExpectedFault("estop", "pressed")])
    assert complaints == ["unexpected: overruns: the counter grew by 3"]


# --- names and power ----------------------------------------------------------------------------------------------


def test_folders_of_tests_are_single_safe_and_different() -> None:
    assert folder_name("hil_tests/test_estop.py::test_stop[operator]") == "test_estop.test_stop[operator]"
    hostile = [
        "test_a.py::t[../../etc]",
        "test_a.py::t[..\\..\\etc]",
        f"test_a.py::t[{'x' * 300}]",
        "..",
        "a.py::é",
    ]
    names = [folder_name(each) for each in hostile]
    assert len(set(names)) == len(hostile)
    for name in names:
        assert Path(name).name == name
        assert not name.startswith(".")
        assert len(name) < 140
