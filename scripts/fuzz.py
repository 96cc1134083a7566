"""Fuzzes what reads data from outside: frames, controllers, control.sock, robot.toml and the latch's record.

Builds the libFuzzer targets of runtime/control/fuzz with clang in build/cpp-fuzz, seeds each corpus from the tests'
fixtures, runs each target for `--seconds`, and compares what C++ and Python make of every robot.toml that was found.
The corpora stay in build/fuzz/TARGET/corpus, so a later run goes on from there. A finding is written beside them and
ends the run with 1.

Example: `.venv/bin/python -m scripts.fuzz --seconds 600 --only latch`
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.stages import BIN, ROOT, build, configure, say

from holdfast.config import load_robot_config
from holdfast.errors import HoldfastError

FOLDER = "cpp-fuzz"
BUILD = ROOT / "build" / FOLDER
WORK = ROOT / "build" / "fuzz"
FIXTURES = ROOT / "runtime" / "tests" / "robot_toml"
CONTROLLERS = (
    ROOT / "runtime" / "control" / "tests" / "wasm" / "controllers",
    ROOT / "examples" / "controllers",
)
OPTIONS = ("-DHOLDFAST_FUZZ=ON", "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1 -g1")
CLANGS = ("clang++", *(f"clang++-{version}" for version in range(22, 13, -1)))
# What an input may take before it counts as hanging, and the memory it may use.
HANG_S = 60
MEMORY_MB = 4096

Seeds = Iterator[bytes]


@dataclass(frozen=True)
class Target:
    """One libFuzzer executable: its first inputs, its words and the longest input."""

    name: str
    seeds: Callable[[], Seeds]
    longest: int
    words: Callable[[], set[str]] = set


def frame_seeds() -> Seeds:
    """Yield datagrams: each command of CANSimple and object of CANopen for each node, well-formed and not."""
    nodes = (1, 2, 3, 40)
    for base in (0x000, 0x080, 0x180, 0x200, 0x280, 0x300, 0x580, 0x600, 0x700):
        payloads = (bytes(8), struct.pack("<Hi2x", 0x0F, 100_000), struct.pack("<Hi2x", 0xFFFF, -(2**31)))
        yield b"".join(
            struct.pack("<BIB3x8s", 16, base + node, 8, payload) for node in nodes for payload in payloads
        )
    for command in (0x01, 0x02, 0x07, 0x09, 0x0B, 0x0C, 0x0D, 0x0E, 0x18, 0x1C):
        datagrams = b""
        for node in nodes:
            for payload in (bytes(8), struct.pack("<ff", 1.5, -2.0), struct.pack("<ff", float("nan"), 1e38)):
                datagrams += struct.pack("<BIB3x8s", 16, node << 5 | command, 8, payload)
        yield datagrams
    yield struct.pack("<BIB3x8s", 16, 1 << 5 | 9 | 1 << 31, 8, bytes(8))
    yield struct.pack("<BIB3x8s", 12, 0x7FF, 0, bytes(8))


def controller_seeds() -> Seeds:
    """Yield every controller of the tests and the examples."""
    for folder in CONTROLLERS:
        yield from (file.read_bytes() for file in sorted(folder.rglob("*.wat")))


def robot_seeds() -> Seeds:
    """Yield every valid and invalid robot.toml of the tests."""
    yield from (file.read_bytes() for file in sorted(FIXTURES.rglob("*.toml")))


def socket_seeds() -> Seeds:
    """Yield packets: who asks, then JSON."""
    load = {"op": "load", "cwasm": "/nowhere/x.cwasm", "name": "x", "version": "1", "sha256": "00"}
    requests: list[object] = [
        *({"op": op} for op in ("status", "unload", "arm", "disarm", "segment", "none")),
        *({"op": "sim", "speed": speed, "paused": True} for speed in (0, 1.5, -1, 1e308, "fast", None)),
        *(load, {**load, "cwasm": "relative"}, {**load, "name": 3}, {"op": "status", "more": 1}),
        *([], 3, None, {"op": None}, {}),
    ]
    for request in requests:
        for who in (b"\0", b"\1"):
            yield who + json.dumps(request).encode()
    yield b"\0" + b"{" * 50
    yield b"\0" + b'{"op":' + b"[" * 20_000 + b"]" * 20_000 + b"}"


def latch_seeds() -> Seeds:
    """Yield records as the daemon writes them, and records that are not intact."""
    for latch, last, cause in ((0, 0, "none"), (3, 3, "operator"), (0, 7, "none"), (9, 2, "core_lost")):
        body = {
            "version": 1,
            "latch_sequence": latch,
            "last_sequence": last,
            "cause": cause,
            "reason": "a person asked",
            "since": "2026-01-01T00:00:00Z",
        }
        yield _record(body)
        yield _record(body)[:-9]
    yield _record({"a": _nested(200)})
    yield b'{"checksum":"0","a":' + b"[" * 20_000 + b"]" * 20_000 + b"}"


def _nested(depth: int) -> list[object]:
    inner: list[object] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def _record(body: dict[str, object]) -> bytes:
    """Return a latch record with its FNV-1a checksum, as runtime/control/src/safety/record.cpp writes it."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    value = 0xCBF29CE484222325
    for byte in text:
        value = (value ^ byte) * 0x100000001B3 % (1 << 64)
    return json.dumps({**body, "checksum": f"{value:x}"}, sort_keys=True, separators=(",", ":")).encode()


def robot_words() -> set[str]:
    """Return keys, sections and values of the fixtures."""
    text = b"\n".join(robot_seeds()).decode(errors="replace")
    return {
        word
        for word in re.findall(r'"[^"\n]{1,30}"|\[{1,2}[a-z.]+\]{1,2}|[a-z_0-9.]{3,30}', text)
        if word.isascii()
    }


def controller_words() -> set[str]:
    """Return the words of WAT that the controllers use."""
    text = b"\n".join(controller_seeds()).decode(errors="replace")
    return set(re.findall(r'\(?[a-z]+[a-z0-9_.]+|"[a-z_0-9]+"', text))


def socket_words() -> set[str]:
    """Return what requests are made of."""
    return {word for seed in socket_seeds() for word in re.findall(r'"[a-z0-9_]+"', seed[1:].decode())}


def latch_words() -> set[str]:
    """Return what records are made of."""
    return {word for seed in latch_seeds() for word in re.findall(r'"[a-z_]+":?', seed.decode())}


TARGETS = (
    Target("frames", frame_seeds, 17 * 32),
    Target("latch", latch_seeds, 70_000, latch_words),
    Target("robot_toml", robot_seeds, 16_384, robot_words),
    Target("socket", socket_seeds, 65_536, socket_words),
    Target("wasm", controller_seeds, 8_192, controller_words),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, seed and run the chosen targets; 0 if none found anything."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument(
        "--only", action="append", choices=[target.name for target in TARGETS], help="this target"
    )
    options = parser.parse_args(arguments)
    clang = next((found for name in CLANGS if (found := shutil.which(name))), None)
    if clang is None:
        say("fuzz: clang is not installed; `make` installs what scripts/packages.txt lists")
        return 2
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    for command in (configure(FOLDER, f"-DCMAKE_CXX_COMPILER={clang}", *OPTIONS), build(FOLDER, "fuzzers")):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            say(f"fuzz: {' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
            return 2
    chosen = [target for target in TARGETS if options.only is None or target.name in options.only]
    clean = [run(target, options.seconds) for target in chosen]
    if any(target.name == "robot_toml" for target in chosen):
        clean.append(compare_with_python())
    return 0 if all(clean) else 1


def run(target: Target, seconds: int) -> bool:
    """Run one target; print one line, and where a finding lies."""
    folder = WORK / target.name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed[: target.longest])
    known = {file.name for file in folder.iterdir()}
    log = folder / "log.txt"
    command = [
        *(str(BUILD / "fuzz" / f"{target.name}_fuzz"), str(corpus), f"-max_total_time={seconds}"),
        *(f"-max_len={target.longest}", f"-timeout={HANG_S}", f"-rss_limit_mb={MEMORY_MB}"),
        *(f"-artifact_prefix={folder}/", "-print_final_stats=1", *_dictionary(target, folder)),
    ]
    with log.open("wb") as stream:
        code = subprocess.run(command, cwd=folder, stdout=stream, stderr=stream, check=False).returncode
    findings = sorted({file.name for file in folder.glob("*-*")} - known)
    runs, covered = _figures(log.read_text(errors="replace"))
    size = sum(1 for _ in corpus.iterdir())
    verdict = (
        "no finding" if code == 0 and not findings else f"FINDING (exit code {code}): {', '.join(findings)}"
    )
    say(f"{target.name:12} {runs} runs, {covered} edges, corpus {size}: {verdict}")
    if code != 0 or findings:
        say(f"  repeat with: {command[0]} {folder}/{findings[0] if findings else '...'}\n  log: {log}")
    return code == 0 and not findings


def _dictionary(target: Target, folder: Path) -> list[str]:
    words = target.words()
    if not words:
        return []
    file = folder / "words.dict"
    lines = ('"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"' for word in sorted(words))
    file.write_text("\n".join(lines) + "\n")
    return [f"-dict={file}"]


def _figures(log: str) -> tuple[str, str]:
    runs = re.findall(r"stat::number_of_executed_units:\s+(\d+)", log)
    covered = re.findall(r"cov: (\d+)", log)
    return (runs or ["0"])[-1], (covered or ["0"])[-1]


def compare_with_python() -> bool:
    """Tell whether C++ and Python take the same files of the corpus of robot.toml."""
    files = sorted((WORK / "robot_toml" / "corpus").iterdir())
    command = [str(BUILD / "fuzz" / "robot_toml_verdicts"), *map(str, files)]
    said = (
        subprocess.run(command, capture_output=True, check=True).stdout.decode(errors="replace").split("\n")
    )
    differing = [
        (file, verdict, python)
        for file, verdict in zip(files, said, strict=False)
        if (verdict == "taken") != ((python := python_verdict(file)) == "taken")
        or python.startswith("CRASHED")
    ]
    say(f"robot.toml   {len(files)} files, C++ and Python differ in {len(differing)}")
    for file, verdict, python in differing[:20]:
        say(f"  {file}\n    C++:    {verdict}\n    Python: {python}")
    return not differing


def python_verdict(file: Path) -> str:
    """Return "taken", or why Python refuses the file."""
    try:
        load_robot_config(file)
    except HoldfastError as error:
        return f"refused: {' '.join(str(error).split())}"
    except Exception as error:  # a person would see a traceback: a finding, whatever it is
        return f"CRASHED: {error!r}"
    return "taken"


if __name__ == "__main__":
    sys.exit(main())
