"""A bench file: which robot the scenarios meet, by which back end, and what can be done to it.

Tests name capabilities, bench files offer them; a board's name is in neither.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from holdfast.toml_positions import KeyPath, key_lines, line_of
from holdfast_bench.qemu.platform import VIRTUAL_BOARDS, platform_of
from holdfast_bench.result import BenchError, NotOfferedError
from holdfast_image.build import repository_root

Capability = Literal[
    "power",
    "console",
    "shell",
    "links",
    "fleet",
    "simulated-drives",
    "gpio-sim",
    "fresh-machine",
    "saved-state",
    "virtual-time",
    "probe",
    "ollama",
]
CAPABILITIES: frozenset[str] = frozenset(get_args(Capability))
LIVE: frozenset[str] = frozenset({"power", "console", "shell"})
"""What every scenario needs that is run on one booted robot."""

_Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class BenchFileError(BenchError):
    """A bench file cannot be used; every problem is a line `FILE:LINE: key: what, and how to mend it`."""


class LabgridSettings(BaseModel):
    """`[labgrid]`: where labgrid finds the robot."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    environment: Path
    """labgrid's own description of the target `main`: resources and drivers. Relative to the bench file."""
    coordinator: Annotated[str, StringConstraints(pattern=r"^\S+:\d+$")] | None = None
    """HOST:PORT of the coordinator; none: everything is on this machine."""
    place: _Word | None = None
    """The place to acquire, by its exact name."""
    reserve: dict[_Word, _Word] | None = Field(default=None, min_length=1)
    """Instead of a place: tags; the first place free that has them all is reserved and acquired."""
    wait_s: float = Field(default=1800.0, gt=0)
    """With reserve: how long somebody else's tests may hold the board, seconds."""

    @model_validator(mode="after")
    def _one_way_to_a_place(self) -> LabgridSettings:
        if self.place and self.reserve:
            raise ValueError("place and reserve exclude each other; remove one")
        if (self.coordinator is None) != (self.place is None and self.reserve is None):
            raise ValueError("a coordinator needs a place or reserve, and they need a coordinator; add it")
        return self


class BenchFile(BaseModel):
    """One bench."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: _Word
    """What reports call it."""
    back_end: Literal["qemu", "labgrid"]
    """"qemu": a machine of our own; "labgrid": whatever its environment describes."""
    clock: Literal["real", "virtual"] = "real"
    """"virtual": the guest's clock counts instructions; only scenarios made for it run."""
    capabilities: frozenset[Capability]
    """What a test may ask of it."""
    board: str = VIRTUAL_BOARDS[0]
    """Of a virtual robot: whose image it runs, one of `VIRTUAL_BOARDS`."""
    robot: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+\.toml$")] | None = None
    """The file of examples/robots that a board is set up as: scenario files for that robot can be played on it."""
    probe: Annotated[str, StringConstraints(pattern=r"^/\S+$")] | None = None
    """Serial port of the probe beside the robot; each run begins by asking it for its firmware."""
    labgrid: LabgridSettings | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> BenchFile:
        if (self.back_end == "labgrid") != (self.labgrid is not None):
            raise ValueError(
                'the table [labgrid] and back_end = "labgrid" belong together; add or remove one'
            )
        if ("probe" in self.capabilities) != (self.probe is not None):
            raise ValueError(
                'the capability "probe" and its port, probe = "/dev/serial/by-id/...", belong together; '
                "add or remove one"
            )
        if self.robot is not None and self.is_virtual_robot:
            raise ValueError("a virtual machine becomes the robot that a scenario asks for; remove robot")
        if self.board not in VIRTUAL_BOARDS:
            raise ValueError(
                f"QEMU has no machine for {self.board}; board is one of {', '.join(VIRTUAL_BOARDS)}"
            )
        if self.board != VIRTUAL_BOARDS[0] and (self.back_end != "qemu" or self.clock == "virtual"):
            raise ValueError("only QEMU in real time runs another board's image; remove board")
        if self.starts_from_saved_state and self.back_end != "qemu":
            raise ValueError('only a machine of our own can be saved; remove "saved-state"')
        if self.starts_from_saved_state and platform_of(self.board).variables is None:
            raise ValueError(
                f'the firmware of {self.board} keeps no variables to be saved with; remove "saved-state"'
            )
        if self.clock == "virtual":
            if self.back_end != "qemu" or self.capabilities != {"virtual-time"}:
                raise ValueError(
                    'clock = "virtual" is QEMU\'s alone and offers nothing but "virtual-time"; '
                    'write back_end = "qemu" and capabilities = ["virtual-time"]'
                )
        elif missing := LIVE - self.capabilities:
            raise ValueError(
                f"a bench in real time offers power, console and shell; add {', '.join(sorted(missing))}"
            )
        return self

    @property
    def is_virtual_robot(self) -> bool:
        """Whether the bench makes its robot itself, from the image; a board is there already."""
        return self.back_end == "qemu" or "fresh-machine" in self.capabilities

    @property
    def keeps_deadlines(self) -> bool:
        """Whether late cycles are the robot's own fault: the host stops a virtual one as it pleases, with KVM too."""
        return not self.is_virtual_robot

    @property
    def starts_from_saved_state(self) -> bool:
        """Whether a robot is a matter of seconds, so that each test gets its own."""
        return "saved-state" in self.capabilities

    def described(self, *, virtual_time: bool) -> dict[str, str | bool]:
        """Return what a result tells of the bench on which it was measured."""
        if virtual_time:
            # One machine of our own, whichever bench file allows it.
            return {"bench": "virtual-time", "back_end": "qemu", "keeps_deadlines": True}
        return {"bench": self.name, "back_end": self.back_end, "keeps_deadlines": self.keeps_deadlines}

    def lacks(self, needed: frozenset[str]) -> list[str]:
        """Return what of `needed` this bench does not offer, sorted."""
        return sorted(needed - self.capabilities)

    def require(self, needed: frozenset[str], what: str) -> None:
        """Refuse `what` on a bench that cannot do it.

        Raises:
            NotOfferedError: names what of `needed` it does not offer.
        """
        if lacking := self.lacks(needed):
            raise NotOfferedError(
                f"the bench {self.name} does not offer {', '.join(lacking)}, which {what} needs"
            )


def benches_folder() -> Path:
    """Return the repository's bench files."""
    return repository_root(Path(__file__).parent) / "hil_tests/benches"


def default_bench() -> Path:
    """Return the bench file that is used when none is named."""
    return benches_folder() / "virtual.toml"


def load_bench_file(path: Path) -> BenchFile:
    """Read and check a bench file.

    Raises:
        BenchFileError: with every problem, one a line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except OSError as error:
        known = ", ".join(sorted(file.name for file in benches_folder().glob("*.toml")))
        raise BenchFileError(
            f"{path}: cannot be read ({error.strerror}); those of hil_tests/benches are {known}"
        ) from None
    except UnicodeDecodeError:
        raise BenchFileError(f"{path}:1: is not UTF-8; save it as such") from None
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = found[1] if found else text.count("\n") + 1
        raise BenchFileError(f"{path}:{line}: not valid TOML: {error}") from None
    try:
        bench = BenchFile.model_validate(raw)
    except ValidationError as error:
        lines = key_lines(text)
        problems = [_sentence(path, lines, problem["loc"], problem) for problem in error.errors()]
        raise BenchFileError("\n".join(problems)) from None
    if bench.labgrid is None:
        return bench
    environment = (path.absolute().parent / bench.labgrid.environment).resolve()
    if not environment.is_file():
        line = line_of(key_lines(text), ("labgrid", "environment"))
        raise BenchFileError(
            f"{path}:{line}: labgrid.environment: there is no file {environment}; correct the path"
        )
    return bench.model_copy(update={"labgrid": bench.labgrid.model_copy(update={"environment": environment})})


def _sentence(path: Path, lines: dict[KeyPath, int], place: KeyPath, problem: object) -> str:
    assert isinstance(problem, dict)  # noqa: S101 - pydantic's ErrorDetails
    key = ".".join(str(part) for part in place) or "the file"
    said = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        said = "is not a known key; remove it or correct its spelling (docs/reference.md, Bench files)"
    elif problem["type"] == "missing":
        said = "is missing; add it (docs/reference.md, Bench files)"
    return f"{path}:{line_of(lines, place)}: {key}: {said}"
