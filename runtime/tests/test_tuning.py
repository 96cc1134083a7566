"""What `holdfast robot check` says of a machine, on a folder that stands for its kernel."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from answering_core import answering_core
from click.testing import CliRunner

from holdfast.cli import main
from holdfast.tuning import SETTINGS, machine_findings

ROOT = Path(__file__).parents[2]
IMAGE_SETTINGS = ROOT / "image/mkosi.extra" / SETTINGS
CPUS = "sys/devices/system/cpu"
EXAMPLE = ROOT / "examples/robots/arm.toml"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A robot whose loop has processor 3 for itself, with the image's own settings in force."""
    write(tmp_path, {SETTINGS: IMAGE_SETTINGS.read_text()})
    for line in IMAGE_SETTINGS.read_text().splitlines():
        key, _, value = line.partition("=")
        if value and not line.startswith("#"):
            write(tmp_path, {f"proc/sys/{key.strip().replace('.', '/')}": value.strip()})
    write(
        tmp_path,
        {
            **{f"{CPUS}/cpu{cpu}/cpufreq/scaling_governor": "performance" for cpu in range(4)},
            f"{CPUS}/isolated": "3",
            f"{CPUS}/nohz_full": "3",
            "proc/irq/16/smp_affinity_list": "0-2",
            "proc/irq/16/effective_affinity_list": "0",
        },
    )
    return tmp_path


def wrong(root: Path, cpu: int = 3) -> dict[str, str]:
    """Return what is not as it should be, and how to mend it."""
    return {finding.what: finding.mend for finding in machine_findings(cpu, root) if not finding.ok}


def test_a_machine_that_is_set_up_has_nothing_to_mend(root: Path) -> None:
    assert wrong(root) == {}
    assert "kernel.sched_rt_runtime_us" in {finding.what for finding in machine_findings(3, root)}


@pytest.mark.parametrize(
    ("file", "text", "what", "mend"),
    [
        ("proc/sys/kernel/sched_rt_runtime_us", "950000", "kernel.sched_rt_runtime_us", "=-1"),
        ("proc/sys/vm/swappiness", "60", "vm.swappiness", "vm.swappiness=0"),
        (f"{CPUS}/cpu2/cpufreq/scaling_governor", "schedutil", "processor frequency", "governor=performance"),
        (f"{CPUS}/isolated", "", "isolated processors", "isolcpus=managed_irq,domain,3"),
        (f"{CPUS}/isolated", "0-2", "isolated processors", "isolcpus=managed_irq,domain,3"),
        (f"{CPUS}/nohz_full", "(null)", "nohz_full processors", "nohz_full=3"),
        ("proc/irq/16/effective_affinity_list", "2-3", "interrupts on processor 3", "irqaffinity="),
    ],
)
def test_what_is_not_as_it_should_be_is_named(root: Path, file: str, text: str, what: str, mend: str) -> None:
    write(root, {file: text})
    found = wrong(root)
    assert list(found) == [what]
    assert mend in found[what]


def test_a_setting_that_the_kernel_does_not_have_is_named(root: Path) -> None:
    (root / "proc/sys/kernel/timer_migration").unlink()
    assert list(wrong(root)) == ["kernel.timer_migration"]


def test_without_a_processor_of_its_own_the_loop_needs_none_apart(root: Path) -> None:
    write(root, {f"{CPUS}/isolated": "", f"{CPUS}/nohz_full": ""})
    assert wrong(root, cpu=-1) == {}


def test_a_machine_without_the_image_says_so(tmp_path: Path) -> None:
    assert list(wrong(tmp_path, cpu=-1)) == ["kernel settings"]


@pytest.mark.parametrize(
    ("shortfalls", "mends"),
    [([], [""]), (["lock memory", "a PREEMPT_RT kernel"], ["lock memory", "a PREEMPT_RT kernel"])],
)
def test_the_command_tells_what_the_core_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shortfalls: list[str], mends: list[str]
) -> None:
    monkeypatch.setenv("HOLDFAST_CONFIG", str(EXAMPLE))
    monkeypatch.setenv("HOLDFAST_RUN_DIR", str(tmp_path))
    with answering_core(tmp_path, realtime={"degraded": bool(shortfalls), "shortfalls": shortfalls}):
        shown = CliRunner().invoke(main, ["robot", "check", "--json"])
    told = json.loads(shown.stdout)
    assert told["robot"] == "arm-01"
    assert [finding["mend"] for finding in told["machine"] if finding["what"] == "core"] == mends
    # This machine is no robot: it does not have the image's settings in any case.
    assert (told["ok"], shown.exit_code) == (False, 1)


def test_a_core_that_does_not_run_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_CONFIG", str(EXAMPLE))
    monkeypatch.setenv("HOLDFAST_RUN_DIR", os.fspath(tmp_path))
    shown = CliRunner().invoke(main, ["robot", "check"])
    assert shown.exit_code == 1
    assert "nobody listens there" in " ".join(shown.stdout.split())


def test_a_file_is_checked_without_looking_at_this_machine() -> None:
    shown = CliRunner().invoke(main, ["robot", "check", str(EXAMPLE), "--json"])
    assert shown.exit_code == 0
    assert "machine" not in json.loads(shown.stdout)
