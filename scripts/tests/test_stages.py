"""`make test` runs what it says, in its order, and its words agree with the outcome."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from scripts import stages
from scripts.stages import Stage


def stage(name: str, *commands: list[str], group: str = "python") -> Stage:
    return Stage(name, group, f"Headline of {name}", "quick", lambda: list(commands))


@pytest.mark.parametrize("outcome", ["true", "false"])
def test_commands_that_run_at_once_wait_for_each_other_and_their_output_is_kept_apart(
    tmp_path: Path, outcome: str
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # Neither ends without the other: opening a FIFO waits for its other end.
    reads = ["sh", "-c", f"echo a; cat {fifo}; echo b; {outcome}"]
    writes = ["sh", "-c", f"echo c; echo from-the-other > {fifo}; echo d"]
    both = dataclasses.replace(stage("both", reads, writes), at_once=True)
    [ended] = stages.run([both], tmp_path)
    assert ended.passed == (outcome == "true")
    said = [line for line in (tmp_path / "01-both.log").read_text().splitlines() if not line.startswith("$")]
    reading, writing = ["a", "from-the-other", "b"], ["c", "d"]
    assert said == (reading + writing if ended.passed else writing + reading)


def test_output_goes_to_the_log_and_the_screen_gets_headline_and_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = stages.run([stage("one", ["echo", "first"], ["echo", "second"])], tmp_path)
    assert [outcome.passed for outcome in outcomes] == [True]
    assert (tmp_path / "01-one.log").read_text() == "$ echo first\nfirst\n$ echo second\nsecond\n"
    screen = capsys.readouterr().out
    assert "Headline of one" in screen
    assert "passed in" in screen
    assert "second" not in screen


def test_a_failing_command_ends_its_stage_and_the_run_and_shows_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = stage("bad", ["sh", "-c", "echo why; exit 3"], ["touch", str(tmp_path / "after")])
    outcomes = stages.run([failing, stage("next", ["touch", str(tmp_path / "next")])], tmp_path)
    assert [outcome.passed for outcome in outcomes] == [False]
    assert not (tmp_path / "after").exists()
    assert not (tmp_path / "next").exists()
    assert "why" in capsys.readouterr().out


def test_neighbouring_lint_stages_are_all_looked_at(tmp_path: Path) -> None:
    bad, good = stage("bad", ["false"], group="lint"), stage("good", ["true"], group="lint")
    outcomes = stages.run([bad, good, stage("build", ["true"])], tmp_path)
    assert [(outcome.stage.name, outcome.passed) for outcome in outcomes] == [("bad", False), ("good", True)]


def test_a_lint_stage_after_a_failed_build_is_not_run(tmp_path: Path) -> None:
    outcomes = stages.run([stage("build", ["false"]), stage("late", ["true"], group="lint")], tmp_path)
    assert [outcome.stage.name for outcome in outcomes] == ["build"]


def test_a_command_that_hangs_is_killed_and_the_stage_fails(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    # Nobody opens the other end.
    [ended] = stages.run([dataclasses.replace(stage("waits", ["cat", str(fifo)]), limit_s=0.1)], tmp_path)
    assert not ended.passed
    assert "killed: it was not done after" in (tmp_path / "01-waits.log").read_text()


def test_commands_have_no_input_to_wait_for(tmp_path: Path) -> None:
    # pytest's own input is /dev/null: here it is a pipe that nobody writes to.
    reading, writing = os.pipe()
    kept = os.dup(0)
    os.dup2(reading, 0)
    try:
        [ended] = stages.run([dataclasses.replace(stage("reads", ["cat"]), limit_s=5)], tmp_path)
    finally:
        os.dup2(kept, 0)
        for number in (reading, writing, kept):
            os.close(number)
    assert ended.passed


def test_a_missing_tool_is_named_with_its_mend(tmp_path: Path) -> None:
    outcomes = stages.run([stage("tool", ["no-such-tool-here"])], tmp_path)
    assert not outcomes[0].passed
    log = (tmp_path / "01-tool.log").read_text()
    assert "no-such-tool-here: not installed" in log
    assert "scripts/packages.txt" in log


def test_the_quick_tier_is_a_beginning_of_the_full_one() -> None:
    quick, full = stages.chosen("quick", []), stages.chosen("full", [])
    assert quick == full[: len(quick)]
    assert full == list(stages.STAGES)


def test_only_takes_a_stage_or_a_group_of_any_tier() -> None:
    chosen = [stage.name for stage in stages.chosen("quick", ["clang-tidy", "hil"])]
    assert chosen == ["virtual-time", "virtual-faults", "hil", "test-of-tests", "clang-tidy"]
    assert {stage.group for stage in stages.chosen("quick", ["cpp"])} == {"cpp"}


def test_a_failed_run_ends_with_code_1_and_names_what_did_not_run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    table = (stage("bad", ["false"]), stage("next", ["true"]))
    assert stages.main(["--tier", "full"], table, tmp_path) == 1
    summary = capsys.readouterr().out
    assert "next           not run" in summary
    assert summary.rstrip().splitlines()[-1].startswith("FAILED")


def test_every_shell_script_is_found() -> None:
    assert {".ci/run", "scripts/bootstrap"} <= set(stages.shell_scripts())
