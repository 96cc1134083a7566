"""Scenario `boot`: how long a robot takes from the start of its kernel until the loop runs, and what it waits for.

The figures are systemd's own, by the robot's clock: monotonic time begins with the kernel. What the firmware takes
before is not in them.
"""

from __future__ import annotations

from typing import Any

from holdfast.command import errors as terminal
from holdfast_bench.bench import Bench
from holdfast_bench.result import BenchError

NAME = "boot"
COUNT = 3
CORE = "holdfast-control.service"
_SETTLE_LIMIT_S = 900.0
_MANAGER = ("InitRDTimestampMonotonic", "UserspaceTimestampMonotonic")
_UNIT = ("ActiveEnterTimestampMonotonic", "NRestarts")


def run(bench: Bench, count: int = COUNT) -> dict[str, Any]:
    """Switch a robot that is ready off and on `count` times.

    Raises:
        BenchError: the core did not come to stay at once, so that its last start is not that of the boot.
    """
    boots = []
    for number in range(1, count + 1):
        terminal.print(f"boot {number} of {count}")
        boots.append(_boot(bench))
        terminal.print("  the loop ran after {loop_s} s, {used_mib} MiB in use".format(**boots[-1]))
    return {
        "boots": boots,
        "loop_s": max(boot["loop_s"] for boot in boots),
        "used_mib": max(boot["used_mib"] for boot in boots),
        "critical_chain": bench.robot.shell.run(f"systemd-analyze critical-chain {CORE}").stdout.splitlines(),
    }


def _boot(bench: Bench) -> dict[str, Any]:
    bench.power.off()
    bench.power.on()
    bench.wait_ready()
    shell = bench.robot.shell
    # Until then systemd tells no critical chain. Whether a unit failed is for others to judge.
    shell.run("systemctl is-system-running --wait", check=False, limit_s=_SETTLE_LIMIT_S)
    shown = shell.run(f"systemctl show --property={','.join(_MANAGER)}").stdout
    shown += shell.run(f"systemctl show --property={','.join(_UNIT)} {CORE}").stdout
    return figures(shown, shell.run("cat /proc/meminfo").stdout)


def figures(shown: str, memory: str) -> dict[str, Any]:
    """Return one boot's figures from what `systemctl show` and /proc/meminfo say.

    `kernel_s`, `initrd_s` and `system_s` are the parts of `loop_s`; `used_mib` is the memory that nobody could have
    without taking it from somebody.

    Raises:
        BenchError: the core was started more than once.
    """
    told = {key: int(value) for key, value in (line.split("=") for line in shown.split())}
    if told["NRestarts"]:
        raise BenchError(f"{CORE} was started again {told['NRestarts']} times; see its journal")
    initrd, system, loop = (told[key] / 1e6 for key in (*_MANAGER, "ActiveEnterTimestampMonotonic"))
    kib = {key.rstrip(":"): int(value) for key, value, *_ in (line.split() for line in memory.splitlines())}
    return {
        "kernel_s": round(initrd, 2),
        "initrd_s": round(system - initrd, 2),
        "system_s": round(loop - system, 2),
        "loop_s": round(loop, 2),
        "used_mib": round((kib["MemTotal"] - kib["MemAvailable"]) / 1024),
    }
