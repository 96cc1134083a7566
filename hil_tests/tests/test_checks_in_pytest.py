"""The checks as a test meets them: pytest run on small suites, with a stand-in for the bench and its robot."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

pytest_plugins = ["pytester"]

CONFTEST = '''
import json

import pytest

from holdfast_bench.checks.fixture import clean_afterwards, record_identity
from holdfast_bench.result import BenchError


class StandIn:
    """A bench and its robot, as the checks see them: tests set what it has to say."""

    keeps_deadlines = False
    before_cut = None

    def __init__(self):
        self.robot = self.console = self
        self.entries, self.units, self.counters, self.quick_check = [], [], {}, ["ok"]
        self.written, self.answers = "boot\\n", True

    def logs(self, message, priority=3, unit="holdfast-control.service"):
        self.entries.append(json.dumps({"__REALTIME_TIMESTAMP": "1", "_SYSTEMD_UNIT": unit,
                                        "PRIORITY": str(priority), "MESSAGE": message}))

    def text(self):
        return self.written

    def control(self):
        return {"ok": True, "boot_id": 1, "counters": dict(self.counters)}

    def safety(self):
        return {"ok": True, "stop_frames_failed": 0, "evidence": {"lost": 0}}

    def ask(self, *question):
        if not self.answers:
            raise BenchError("no answer")
        match question:
            case ["journal_cursor"]:
                return {"ok": True, "cursor": str(len(self.entries))}
            case ["journal", cursor]:
                return {"ok": True, "lines": self.entries[int(cursor):], "cursor": str(len(self.entries))}
            case ["failed_units"]:
                return {"ok": True, "units": self.units}
            case ["database"]:
                return {"ok": True, "quick_check": self.quick_check}


@pytest.fixture(scope="session")
def bench(record_testsuite_property):
    made = StandIn()
    record_identity({"image": "abc", "probe": "none"}, record_testsuite_property)
    made.logs("an error of the boot, before any test")
    return made
'''
INI = """
[pytest]
addopts = --strict-markers -p no:cacheprovider
markers =
    expect_fault(what, reason): what a test breaks
"""


def run(pytester: pytest.Pytester, tests: str) -> pytest.RunResult:
    pytester.makeconftest(CONFTEST)
    pytester.makeini(INI)
    pytester.makepyfile(test_robot=f"import pytest\n\n{tests}")
    return pytester.runpytest_inprocess("--junit-xml=hil.xml")


def test_a_clean_test_passes_and_leaves_console_and_journal(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
def test_quiet(bench):
    bench.written += "login:\\n"
    bench.logs("all is well", 6)
    bench.counters["overruns"] = 3

def test_without_a_robot():
    pass
""",
    )
    done.assert_outcomes(passed=2)
    folder = pytester.path / "build/hil/tests/test_robot.test_quiet"
    assert (folder / "console.log").read_text() == "login:\n"
    assert (folder / "journal.log").read_text().endswith(" <6> holdfast-control.service: all is well\n")
    assert len(list(folder.parent.iterdir())) == 1
    suite = ElementTree.parse(pytester.path / "hil.xml")  # noqa: S314
    found = {
        entry.get("name"): entry.get("value") for entry in suite.iterfind(".//testsuite/properties/property")
    }
    assert found == {"image": "abc", "probe": "none"}
    files = {
        entry.get("name"): entry.get("value") for entry in suite.iterfind(".//testcase/properties/property")
    }
    assert files == {
        "console": "build/hil/tests/test_robot.test_quiet/console.log",
        "journal": "build/hil/tests/test_robot.test_quiet/journal.log",
    }


@pytest.mark.parametrize(
    ("breaks", "complaint"),
    [
        (
            'bench.logs("drive elbow: reports 0x40")',
            "unexpected: holdfast-control.service: drive elbow: reports 0x40",
        ),
        (
            'bench.units = ["holdfast-nats.service"]',
            "unexpected: holdfast-nats.service: the unit has failed*",
        ),
        ('bench.counters["controller_traps"] = 2', "unexpected: controller_traps: the counter grew by 2"),
        (
            'bench.quick_check = ["row 3 missing"]',
            "unexpected: worker.db: SQLite's quick_check says row 3 missing",
        ),
        ("bench.answers = False", "*no answer*"),
    ],
)
def test_what_is_broken_and_not_declared_is_an_error(
    pytester: pytest.Pytester, breaks: str, complaint: str
) -> None:
    done = run(pytester, f"def test_breaks(bench):\n    {breaks}\n")
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines([complaint])
    assert (pytester.path / "build/hil/tests/test_robot.test_breaks/console.log").exists()


def test_declared_faults_pass_and_are_forgotten_by_the_next_test(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
@pytest.mark.expect_fault("^estop: stop", reason="pressed")
@pytest.mark.expect_fault("rollbacks", reason="version 2 traps")
def test_declares(bench):
    bench.logs("estop: stop 7 is latched")
    bench.counters["rollbacks"] = 1

def test_after_it(bench):
    pass
""",
    )
    done.assert_outcomes(passed=2)


def test_a_declared_fault_that_did_not_happen_is_an_error(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        '@pytest.mark.expect_fault("estop", reason="pressed")\ndef test_declares(bench):\n    pass\n',
    )
    done.assert_outcomes(passed=1, errors=1)
    done.stdout.fnmatch_lines(["expected, but did not happen: estop (pressed)"])


def test_what_a_power_cut_takes_has_been_read_before(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
@pytest.mark.expect_fault("estop", reason="pressed")
def test_cut(bench):
    bench.logs("estop: stop 7 is latched")
    bench.before_cut()
    del bench.entries[1:]

def test_is_silent_when_cut(bench):
    bench.answers = False
    bench.before_cut()
    bench.answers = True
""",
    )
    done.assert_outcomes(passed=2, errors=1)
    done.stdout.fnmatch_lines(["unexpected: journal: not read before the power was cut: no answer"])


@pytest.mark.parametrize(
    ("marker", "complaint"),
    [
        ('expect_fault("estop")', 'expect_fault wants one unit, counter or pattern, and reason="..."*'),
        ('expect_fault("a", "b", reason="c")', "expect_fault wants one unit*"),
        ('expect_fault("(", reason="c")', "expect_fault: '(' is no regular expression*"),
    ],
)
def test_a_marker_that_says_too_little_is_an_error(
    pytester: pytest.Pytester, marker: str, complaint: str
) -> None:
    done = run(pytester, f"@pytest.mark.{marker}\ndef test_declares(bench):\n    pass\n")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines([complaint])


def test_a_marker_without_a_robot_is_an_error(pytester: pytest.Pytester) -> None:
    done = run(pytester, '@pytest.mark.expect_fault("a", reason="b")\ndef test_declares():\n    pass\n')
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["expect_fault needs the fixture `bench`*"])


def test_a_bench_that_does_not_come_up_is_an_error_and_no_skip(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST.replace("made = StandIn()", 'raise BenchError("no board")'))
    pytester.makeini(INI)
    pytester.makepyfile(test_robot="def test_needs_it(bench):\n    pass\n")
    pytester.runpytest_inprocess().assert_outcomes(errors=1)
