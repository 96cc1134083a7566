"""Measure one controller tick in C++ and in Python, and the loop's cycle, in one run, and write `build/bench.json`.

The same module (`twelve_channels.wat`: twelve reads, twelve writes through host functions) runs in Holdfast's
host (`holdfast-tick-bench`) and through the Python package `wasmtime` with host functions written in Python; the
same work compiled natively is the limit of what any sandbox could reach. `holdfast-cycle-bench` measures whole cycles
of Tier-1 for robots of several sizes.
Exit codes: 0 done, 1 a measurement failed or the ratio is below `--require-ratio`.

Example: `.venv/bin/python runtime/control/bench/tick_bench.py`
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import wasmtime

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
MODULE = HERE / "twelve_channels.wat"
CHANNELS = 12
LIMIT = 1.0


class BenchError(Exception):
    """A measurement could not be made; the message says why."""


class PythonHost:
    """The host functions that the module imports, with the checks of the C++ host."""

    def __init__(self) -> None:
        self.state = [math.sin(index) for index in range(CHANNELS)]
        self.commands = [0.0] * CHANNELS

    def set_command(self, channel: int, value: float) -> int:
        """Store one command; -1: no such channel or not finite, -2: stored clamped."""
        if not 0 <= channel < CHANNELS or not math.isfinite(value):
            return -1
        limited = min(max(value, -LIMIT), LIMIT)
        self.commands[channel] = limited
        return 0 if limited == value else -2

    def get_state(self, channel: int) -> float:
        """Read one state; NaN if there is no such channel."""
        return self.state[channel] if 0 <= channel < CHANNELS else math.nan


def python_tick(host: PythonHost) -> Callable[[int], None]:
    """Instantiate the module through the Python package, with the C++ host's settings of code generation."""
    config = wasmtime.Config()
    config.epoch_interruption = True
    config.cranelift_nan_canonicalization = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    store.set_epoch_deadline(1)  # nothing advances the epoch here
    linker = wasmtime.Linker(engine)
    i32, f64 = wasmtime.ValType.i32(), wasmtime.ValType.f64()
    linker.define_func("command", "set", wasmtime.FuncType([i32, f64], [i32]), host.set_command)
    linker.define_func("state", "get", wasmtime.FuncType([i32], [f64]), host.get_state)
    module = wasmtime.Module(engine, MODULE.read_text(encoding="utf-8"))
    process = linker.instantiate(store, module).exports(store)["process"]
    if not isinstance(process, wasmtime.Func):
        raise BenchError(f"{MODULE}: the export `process` is not a function")

    def tick(number: int) -> None:
        process(store, number)

    return tick


def quantiles(samples: Sequence[int]) -> dict[str, int]:
    """Return p50, p99, p99.9 and max of the samples."""
    ordered = sorted(samples)

    def at(fraction: float) -> int:
        return ordered[int(fraction * (len(ordered) - 1))]

    return {"p50": at(0.5), "p99": at(0.99), "p99_9": at(0.999), "max": ordered[-1]}


def measure_python(ticks: int) -> dict[str, int]:
    """Return the nanoseconds of a tick through the Python package."""
    host = PythonHost()
    tick = python_tick(host)
    for number in range(ticks // 10):
        tick(number)
    samples = []
    for number in range(ticks):
        begin = time.perf_counter_ns()
        tick(number)
        samples.append(time.perf_counter_ns() - begin)
    if host.commands != [0.5 * value for value in host.state]:
        raise BenchError("the Python host did not do the work of a tick")
    return quantiles(samples)


def run(command: Sequence[str | Path]) -> str:
    """Run a program and return its output; raise BenchError with its last words if it fails."""
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BenchError(
            f"{command[0]} is not installed; run `make test` once, it installs what is needed"
        ) from error
    if done.returncode != 0:
        tail = (done.stderr or done.stdout).strip()[-2000:]
        raise BenchError(f"{shlex.join(str(part) for part in command)} failed ({done.returncode}):\n{tail}")
    return done.stdout


def build_binaries() -> Path:
    """Build both benchmarks below `build/` and return their folder."""
    folder = REPOSITORY / "build" / "tick-bench"
    run(
        [
            "cmake", "-S", REPOSITORY / "runtime" / "control", "-B", folder, "-G", "Ninja",
            "-DCMAKE_BUILD_TYPE=RelWithDebInfo", f"-DPython3_EXECUTABLE={sys.executable}",
        ]
    )  # fmt: skip
    run(["cmake", "--build", folder, "--target", "holdfast-tick-bench", "holdfast-cycle-bench"])
    return folder / "bench"


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line.partition(":")[2].strip()
            for line in cpuinfo.read_text().splitlines()
            if "model name" in line
        ]
        model = models[0] if models else ""
    return {
        "cpu": model,
        "cpus": os.cpu_count(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def report(
    cpp: dict[str, Any], python: dict[str, int], python_ticks: int, cycle: dict[str, Any]
) -> dict[str, Any]:
    """Return the content of `bench.json`."""
    tick: dict[str, Any] = {"channels": CHANNELS, "cpp_ticks": cpp["ticks"], "python_ticks": python_ticks}
    for name, figures in (("cpp", cpp["wasm_ns"]), ("native", cpp["native_ns"]), ("python", python)):
        tick |= {f"{name}_ns_{quantile}": value for quantile, value in figures.items()}
    tick["ratio"] = round(python["p50"] / cpp["wasm_ns"]["p50"], 1)
    return {
        "tick": tick,
        "cycle": {
            "cycles": cycle["cycles"],
            "channels": {
                count: {f"ns_{quantile}": value for quantile, value in figures.items()}
                for count, figures in cycle["channels"].items()
            },
        },
        "versions": {"python": platform.python_version(), "wasmtime": importlib.metadata.version("wasmtime")},
        "machine": machine(),
        "command": shlex.join([sys.executable, *sys.argv]),
    }


def write_whole(file: Path, text: str) -> None:
    """Write a file so that it appears whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(file)


def main() -> int:
    """Build, measure, write and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--binaries", type=Path, help="folder of the C++ benchmarks; default: build them below build/"
    )
    parser.add_argument("--out", type=Path, default=REPOSITORY / "build" / "bench.json")
    parser.add_argument("--ticks", type=int, default=1_000_000, help="ticks in C++")
    parser.add_argument("--python-ticks", type=int, default=5_000, help="ticks in Python")
    parser.add_argument("--cycles", type=int, default=50_000, help="cycles of the loop for each robot")
    parser.add_argument(
        "--require-ratio", type=float, default=500.0, help="Python p50 / C++ p50 (default %(default)s)"
    )
    options = parser.parse_args()
    try:
        if options.binaries is None:
            print("building the benchmarks", file=sys.stderr)
        binaries = options.binaries or build_binaries()
        print(f"measuring {options.ticks} ticks in C++, {options.python_ticks} in Python", file=sys.stderr)
        cpp = json.loads(run([binaries / "holdfast-tick-bench", MODULE, "--ticks", str(options.ticks)]))
        python = measure_python(options.python_ticks)
        print(f"measuring {options.cycles} cycles of the loop for each robot", file=sys.stderr)
        cycle = json.loads(run([binaries / "holdfast-cycle-bench", "--cycles", str(options.cycles)]))
        result = report(cpp, python, options.python_ticks, cycle)
        write_whole(options.out, json.dumps(result, indent=2) + "\n")
    except (BenchError, OSError, wasmtime.WasmtimeError) as error:
        print(f"tick_bench: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result, indent=2))
    if result["tick"]["ratio"] < options.require_ratio:
        print(f"tick_bench: the ratio is below {options.require_ratio:g}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
