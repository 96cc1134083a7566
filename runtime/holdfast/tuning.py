"""Whether a machine is set up for real time: the kernel's settings, its processors, and what the core has found.

The settings wanted are read from where the image has them (/usr/lib/sysctl.d), not from a second list; what is in force
is asked of the kernel.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import HoldfastError
from holdfast.places import run_directory
from holdfast.seqpacket import ask

SETTINGS = "usr/lib/sysctl.d/50-holdfast.conf"
_CPUS = "sys/devices/system/cpu"
_SETTING = re.compile(r"(?P<key>[a-z][a-z0-9_.]*)\s*=\s*(?P<value>\S+)")


@dataclass(frozen=True)
class Finding:
    """One thing that real time needs, as it is on this machine."""

    what: str
    found: str
    mend: str = ""
    """What to do about it; empty: it is as it should be."""

    @property
    def ok(self) -> bool:
        """Whether it is as it should be."""
        return not self.mend


async def core_findings() -> list[Finding]:
    """Return what the core lacks, by itself: scheduling, locked memory, clock, kernel, sleep."""
    try:
        realtime = (await ask(run_directory() / "control.sock", {"op": "status"}))["realtime"]
    except HoldfastError as error:
        return [Finding("core", str(error), "see journalctl -u holdfast-control")]
    shortfalls = [Finding("core", "degraded", str(shortfall)) for shortfall in realtime["shortfalls"]]
    return shortfalls or [Finding("core", "has everything that real time needs")]


def machine_findings(control_cpu: int, root: Path = Path("/")) -> list[Finding]:
    """Return what the kernel below `root` says; `control_cpu` is `[control] cpu`, negative for none."""
    return [*_settings(root), *_governors(root), *_isolation(control_cpu, root)]


def _settings(root: Path) -> Iterator[Finding]:
    file = root / SETTINGS
    if not file.is_file():
        yield Finding("kernel settings", "this machine does not run the image", f"there is no /{SETTINGS}")
        return
    for line in file.read_text().splitlines():
        if wanted := _SETTING.fullmatch(line.strip()):
            key, value = wanted["key"], wanted["value"]
            found = _text(root / "proc/sys" / key.replace(".", "/")) or "not there"
            yield Finding(key, found, "" if found == value else f"sysctl {key}={value} (/{SETTINGS})")


def _governors(root: Path) -> Iterator[Finding]:
    found = {_text(file) for file in (root / _CPUS).glob("cpu[0-9]*/cpufreq/scaling_governor")}
    if not found:
        yield Finding("processor frequency", "the kernel does not scale it")
        return
    slow = found != {"performance"}
    yield Finding(
        "processor frequency",
        ", ".join(sorted(found)),
        "boot with cpufreq.default_governor=performance" if slow else "",
    )


def _isolation(cpu: int, root: Path) -> Iterator[Finding]:
    if cpu < 0:
        yield Finding("processor of the loop", "any ([control] cpu is not set)")
        return
    for kind, option in (("isolated", "isolcpus=managed_irq,domain,"), ("nohz_full", "nohz_full=")):
        found = _text(root / _CPUS / kind)
        apart = cpu in _numbers(found)
        yield Finding(f"{kind} processors", found or "none", "" if apart else f"boot with {option}{cpu}")
    disturbing = sorted(
        int(file.parent.name)
        for file in (root / "proc/irq").glob("[0-9]*/smp_affinity_list")
        if cpu in _numbers(_text(file.with_name("effective_affinity_list")))
    )
    yield Finding(
        f"interrupts on processor {cpu}",
        ", ".join(map(str, disturbing)) or "none",
        f"boot with irqaffinity= and the processors other than {cpu}" if disturbing else "",
    )


def _text(file: Path) -> str:
    """Return what the kernel says in a file, "" where it says nothing or has none."""
    try:
        text = file.read_text().strip()
    except OSError:
        return ""
    return "" if text == "(null)" else text


def _numbers(listed: str) -> set[int]:
    """Return the processors of a list like 0-2,5."""
    found: set[int] = set()
    for part in filter(None, listed.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
