"""`holdfast bench report`: one page that needs nothing but itself, with every verdict, figure and drawing."""

from __future__ import annotations

import json
import re
import shutil
import webbrowser
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from click.testing import CliRunner, Result

from holdfast_bench.cli import SCENARIOS, bench
from holdfast_bench.report.junit import read_suite
from holdfast_bench.report.limits import LIMITS
from holdfast_bench.scenarios import scenario_files
from holdfast_bench.timing import write_timing

HOSTILE = '<script>alert("x")</script>&$x^$'
LEFT = Path(__file__).with_name("left_by_runs")
"""What every kind of scenario, and the suite, leaves below build/; one scenario and some texts are hostile."""


def result(scenario: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((LEFT / "bench" / scenario / "result.json").read_text())
    return body


class Page(HTMLParser):
    """What the tests ask of a page: its texts, elements and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.sections: list[tuple[str, int]] = []
        self._in_heading = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in_heading = tag == "h2"
        if tag == "h2":
            self.sections.append(("", 0))
        if tag == "svg":
            name, drawings = self.sections[-1]
            self.sections[-1] = (name, drawings + 1)

    def handle_data(self, data: str) -> None:
        text = " ".join(data.split())
        if text:
            self.texts.append(text)
            if self._in_heading:
                self.sections[-1] = (text, self.sections[-1][1])
                self._in_heading = False

    def values(self, tag: str, attribute: str) -> list[str]:
        return [attrs[attribute] or "" for name, attrs in self.elements if name == tag and attribute in attrs]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout's root, from the bench's point of view."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, result: dict[str, Any]) -> Path:
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def fill(place: Path) -> None:
    shutil.copytree(LEFT, place / "build")


def report(*options: str) -> Result:
    return CliRunner().invoke(bench, ["report", *options])


def page(place: Path, *options: str) -> Page:
    done = report(*options)
    assert done.exit_code == 0, done.output
    return Page((place / "build/bench/report.html").read_text())


def refused(*options: str) -> str:
    done = report(*options, "--json")
    assert done.exit_code == 2, done.output
    return str(json.loads(done.output)["error"])


def test_every_scenario_has_its_verdict_and_its_drawing(place: Path) -> None:
    fill(place)
    answer = json.loads(report("--json").output)
    verdicts = {name: each["verdict"] for name, each in answer["scenarios"].items()}
    assert verdicts == {
        "deadlines": "passed",
        "deadlines-loaded": "failed",
        "estop-1000": "passed",
        HOSTILE: "measured",
    }
    shown = page(place)
    assert dict(shown.sections) == {
        "Verdicts": 0,
        "deadlines": 0,
        "deadlines-loaded": 1,
        "estop-1000": 1,
        HOSTILE: 1,
        "Tests on the booted image": 0,
    }
    for text in (
        "wake_us.max 13 ≤ 20 µs",
        "cycle_us.max 292 > 250 µs",
        "paths.flag.over_limit 0 ≤ 0",
        "no limits",
    ):
        assert text in shown.texts
    assert shown.texts.count("passed") == 2 * 2 + 1
    for text in ("60,000", "26,000", "3f9ac1d27bb04e11", "4.021", "0.021", "6.12-rt"):
        assert text in shown.texts
    for drawn in (
        "wake-up latency",
        "share of cycles that took longer",
        "flag: 3 trials, max 0.402 ms",
        "limit 20 µs",
    ):
        assert drawn in shown.texts


def test_a_run_that_failed_is_shown_with_its_sentence_and_nothing_of_an_earlier_run(place: Path) -> None:
    fill(place)
    for name in ("deadlines-loaded", "estop-1000"):
        failed = {"scenario": name, "clock": "virtual", "error": f"in the guest: {HOSTILE}"}
        (place / "build/bench" / name / "result.json").write_text(json.dumps(failed))
    told = json.loads(report("--json").output)["scenarios"]
    assert {name: told[name]["verdict"] for name in ("deadlines-loaded", "estop-1000")} == {
        "deadlines-loaded": "failed",
        "estop-1000": "failed",
    }
    shown = page(place)
    assert shown.texts.count(f"in the guest: {HOSTILE}") == 2
    assert dict(shown.sections)["estop-1000"] == 0
    links = [unquote(link) for link in shown.values("a", "href")]
    assert "estop-1000/result.json" in links
    assert "estop-1000/trials.csv" not in links


@pytest.mark.parametrize(
    ("told", "verdict"),
    [
        ({"clock": "real", "bench": "virtual", "back_end": "qemu", "keeps_deadlines": False}, "measured"),
        ({"clock": "real"}, "measured"),  # of before benches were kept
        ({"clock": "real", "bench": "pi5", "back_end": "labgrid", "keeps_deadlines": True}, "failed"),
        ({"clock": "virtual", "bench": "virtual-time", "back_end": "qemu"}, "failed"),
        ({"clock": "virtual"}, "failed"),
    ],
)
def test_missed_deadlines_are_judged_where_they_are_the_robots_fault(
    place: Path, told: dict[str, Any], verdict: str
) -> None:
    write(place / "build/bench/offline-5min", {"scenario": "offline-5min", "missed": 1200, **told})
    answer = json.loads(report("--json").output)["scenarios"]["offline-5min"]
    assert answer["verdict"] == verdict
    assert answer["bench"] == told.get("bench")
    assert ("bench" in told) == (told.get("bench") in page(place).texts)


def test_what_results_and_tests_say_is_text_and_nothing_else(place: Path) -> None:
    fill(place)
    shown = page(place)
    assert "script" not in {tag for tag, _ in shown.elements}
    assert "b" not in {tag for tag, _ in shown.elements}
    assert HOSTILE in shown.texts
    assert f"what: elbow {HOSTILE}, for_ms: 800" in shown.texts
    assert not [name for _, attrs in shown.elements for name in attrs if name.startswith("on")]


def test_the_page_loads_nothing(place: Path) -> None:
    fill(place)
    shown = page(place)
    text = (place / "build/bench/report.html").read_text()
    assert "http:" not in text
    assert "https:" not in text
    assert "@import" not in text
    assert not {tag for tag, _ in shown.elements} & {"script", "link", "img", "iframe", "object", "embed"}
    assert " src=" not in text
    assert {reference[0] for reference in re.findall(r"url\(([^)]*)\)", text)} == {"#"}
    for attribute in ("href", "xlink:href"):
        for tag, attrs in shown.elements:
            assert tag == "a" or (attrs.get(attribute) or "#").startswith("#")


def test_links_lead_from_the_page_to_what_was_left(place: Path) -> None:
    fill(place)
    links = [unquote(link) for link in page(place).values("a", "href")]
    assert "deadlines-loaded/timing.csv" in links
    assert "estop-1000/trials.csv" in links
    assert "../hil/tests/test_estop.test_stop[operator]/console.log" in links
    assert "../hil/tests/test_estop.test_stop[operator]/journal.log" in links


def test_drawings_have_colours_for_light_and_dark_and_no_number_twice(place: Path) -> None:
    fill(place)
    shown = page(place)
    ids = [attrs["id"] for _, attrs in shown.elements if "id" in attrs]
    assert len(set(ids)) == len(ids)
    styles = " ".join(style for tag in ("path", "use") for style in shown.values(tag, "style"))
    assert "var(--series-1)" in styles
    assert not re.search(r"#[0-9a-f]{6}", styles)


def test_tests_are_listed_with_the_worst_that_became_of_them(place: Path) -> None:
    fill(place)
    suite = read_suite(place / "build/logs/hil.xml")
    assert {test.name: test.outcome for test in suite.tests} == {
        "test_stop[operator]": "passed",
        "test_old": "failed",
        "test_none": "skipped",
        "test_unclean": "error",
    }
    texts = page(place).texts
    for text in ("1 passed", "1 failed", "1 error", "1 skipped", "assert <b>1 == 2</b>", "after the test"):
        assert text in texts


def test_an_earlier_run_stands_beside_this_one(place: Path) -> None:
    fill(place)
    earlier = {**result("deadlines-loaded"), "cycle_us": {"p50": 180.0, "p99": 220.0, "max": 242.0}}
    write(place / "earlier/deadlines-loaded", earlier)
    for against in ("earlier", "earlier/deadlines-loaded", "earlier/deadlines-loaded/result.json"):
        texts = page(place, "--against", against).texts
        assert "Earlier run: earlier/deadlines-loaded/result.json" in texts
        assert "A limit that the earlier run held is broken: cycle_us.max" in texts
        assert "+50" in texts
        assert "+20.7" in texts
    assert "earlier" not in page(place).texts


def test_an_earlier_run_that_does_not_compare_is_refused(place: Path) -> None:
    fill(place)
    write(place / "other", {**result("deadlines"), "scenario": "somersault"})
    assert refused("--against", "other").startswith("other: of somersault, but build/bench has ")
    write(place / "real", {**result("deadlines"), "clock": "real"})
    assert "in real time" in refused("--against", "real")


def test_a_page_without_a_suite_or_without_results(place: Path) -> None:
    assert "nothing to report" in refused()
    write(place / "build/bench/tick", {"scenario": "tick", "clock": "real", "tick": {"cpp_ns_p50": 240}})
    texts = page(place).texts
    assert "The suite has left no JUnit file." in texts
    assert "tick.cpp_ns_p50" in texts
    (place / "build/bench/tick/result.json").unlink()
    (place / "build/logs").mkdir()
    shutil.copy(LEFT / "logs/hil.xml", place / "build/logs")
    assert "Verdicts" not in page(place).texts


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        (
            "bench/deadlines-loaded/result.json",
            '{"scen',
            "build/bench/deadlines-loaded/result.json: cut short",
        ),
        ("bench/deadlines-loaded/timing.csv", "histogram,count\n", "timing.csv: its first line is not"),
        ("bench/deadlines-loaded/timing.csv", "histogram,upper_edge_us,count\nwake,6", "timing.csv, line 2"),
        (
            "bench/estop-1000/trials.csv",
            "number,path,phase_us,reaction_us\n1,flag,2.0,",
            "trials.csv, line 2",
        ),
        (
            "bench/estop-1000/trials.csv",
            "path,reaction_us\nbus,2.0\n",
            "the key 'paths.bus.limit_us' is missing",
        ),
        ("logs/hil.xml", "<testsuites><tests", "build/logs/hil.xml: cut short or no XML"),
        ("logs/hil.xml", '<a><testcase name="t" time="soon"/></a>', "build/logs/hil.xml: the test 't'"),
    ],
)
def test_a_damaged_file_is_one_sentence_and_leaves_no_page(
    place: Path, file: str, content: str, complaint: str
) -> None:
    fill(place)
    (place / "build" / file).write_text(content)
    assert complaint in refused()
    assert not (place / "build/bench/report.html").exists()


def test_the_page_is_opened_where_it_is_asked_for(place: Path) -> None:
    fill(place)
    opened: list[str] = []

    class Browser(webbrowser.BaseBrowser):
        def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
            opened.append(url)
            return True

    webbrowser.register("the-tests", None, Browser("the-tests"), preferred=True)
    assert report().exit_code == 0
    assert opened == []
    assert report("--open").exit_code == 0
    assert opened == [(place / "build/bench/report.html").as_uri()]


def test_limits_are_of_scenarios_that_exist() -> None:
    assert set(LIMITS) <= set(SCENARIOS) | set(scenario_files())


def test_cycles_above_the_range_are_told(place: Path) -> None:
    write_timing({"wake": {"6": 5, "inf": 2}}, write(place / "build/bench/deadlines", result("deadlines")))
    assert "wake-up latency (2 above the range)" in page(place).texts
    write_timing({"wake": {"inf": 2}}, place / "build/bench/deadlines")
    assert "wake-up latency (2 above the range)" in page(place).texts
