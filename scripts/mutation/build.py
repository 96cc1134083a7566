"""Compiles one mutant and links it with the objects of its test, by the commands that CMake's build uses."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

# What the compiler would say about a fault is not looked for here.
QUIET = ("-w", "-Wno-error")


@dataclass(frozen=True)
class Toolchain:
    """How one source is compiled, and how its test is linked around the object."""

    compile: tuple[str, ...]  # without source and output
    link: tuple[str, ...]  # with the objects of the test, without output
    folder: Path  # where both run

    def compiled(self, source: Path, output: Path, *options: str) -> list[str]:
        """Return the command that compiles `source` to `output`."""
        return [*self.compile, *QUIET, *options, "-c", str(source), "-o", str(output)]

    def linked(self, first: list[Path], output: Path) -> list[str]:
        """Return the command that links the test; the archives' own object of what `first` defines stays unused."""
        return [self.link[0], *map(str, first), *self.link[1:], "-o", str(output)]


class BuildError(Exception):
    """A command of the build failed; the text is what it said."""


def toolchain(folder: Path, source: Path, test: str) -> Toolchain:
    """Return the commands of CMake's build in `folder` for one source and the test executable `test`."""
    entries = json.loads((folder / "compile_commands.json").read_text())
    command = next(shlex.split(e["command"]) for e in entries if Path(e["file"]) == source)
    listing = checked(["ninja", "-C", str(folder), "-t", "commands", test], folder)
    linking = next(
        line for line in reversed(listing.splitlines()) if f"-o {test} " in line or f"/{test} " in line
    )
    return Toolchain(
        compile=tuple(_without(_compiler(command), "-o", "-c", alone=(str(source),))),
        link=tuple(_without(_compiler(shlex.split(_only_link(linking))), "-o")),
        folder=folder,
    )


def checked(command: list[str], folder: Path) -> str:
    """Run a command of the build and return its output; raise BuildError if it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"$ {shlex.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def _only_link(line: str) -> str:
    """Cut `: && LINK && POST-BUILD` down to LINK."""
    parts = [part.strip() for part in line.split("&&")]
    return next(part for part in parts if part not in (":", ""))


def _compiler(command: list[str]) -> list[str]:
    return command[1:] if Path(command[0]).name == "ccache" else command


def _without(command: list[str], *with_value: str, alone: tuple[str, ...] = ()) -> list[str]:
    kept: list[str] = []
    words = iter(command)
    for word in words:
        if word == "-c" or word in alone:
            continue
        if word in with_value:
            next(words, None)
            continue
        kept.append(word)
    return kept
