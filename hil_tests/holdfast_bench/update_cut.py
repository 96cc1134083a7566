"""Scenario `update-cut`: the supply goes at random moments of an update; the robot always boots a complete version.

installing  while the new version is written into the other slot and the EFI system partition
starting    while the new version starts for the first time and has not yet proved itself

Each cut is a robot of its own, so that a seed repeats it. QEMU is killed (SIGKILL) with disks that the host does not
cache, so that nothing survives that the guest had not flushed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from holdfast_bench.bench import Bench
from holdfast_bench.cuts import Cut, drawn_of, make_each
from holdfast_bench.result import BenchError
from holdfast_bench.robot import wait_until
from holdfast_bench.updates import FOLDER, Updated, next_version, running_of
from holdfast_image.build import build_image, release_version, repository_root
from holdfast_image.payload import FOLDER as UPDATE
from holdfast_image.payload import sha256_of

NAME = "update-cut"
COUNT = 100
MOMENTS_S = {"installing": (0.2, 45.0), "starting": (1.0, 120.0)}
"""Between which seconds after its beginning each kind is cut off, emulated."""
_SETTLE_LIMIT_S = 1800.0


def run(
    robots: Callable[[], AbstractContextManager[Bench]], count: int = COUNT, seed: int = 1
) -> dict[str, Any]:
    """Cut the power of `count` updates, with the seeds `seed`, `seed` + 1, ..., each on a robot of its own.

    Raises:
        BenchError: a robot did not come back with a complete version, or cannot be updated any more; names the seed.
    """
    cuts = [Cut.drawn(seed + number, MOMENTS_S) for number in range(count)]

    def make(cut: Cut) -> str:
        with robots() as bench:
            return cut_one(bench, cut)

    settled = make_each(NAME, cuts, make, lambda version: f"runs {version}")
    return {
        **drawn_of(cuts, MOMENTS_S),
        "running": {version: settled.count(version) for version in sorted(set(settled))},
        "lost": 0,
    }


def cut_one(bench: Bench, cut: Cut) -> str:
    """Cut one update of a robot that is ready; return the version that it has settled on.

    Raises:
        BenchError: it did not settle, on a version that it should not, or the next install fails.
    """
    first = release_version(repository_root())
    new = next_version(first)
    robot = Updated(bench.robot.shell)
    wait_until("the version that runs has proved itself", robot.settled, _SETTLE_LIMIT_S)
    kept = robot.shell.run("echo kept > /etc/holdfast/kept && sync && cat /etc/machine-id /etc/holdfast/kept")
    image = build_image(repository_root(), release=new)
    with image.in_use():
        robot.fetch(image.directory / UPDATE)
        kernels = [sha256_of(kernel) for kernel in (image.directory / UPDATE).glob("*.efi")]
    if cut.kind == "installing":
        robot.shell.run(f"systemd-run --unit=update-cut holdfast os install {FOLDER}")
    else:
        if not (done := robot.install())["ok"]:
            raise BenchError(f"version {new} was not installed: {done['error']}")
        robot.shell.run("systemctl reboot", check=False)
    time.sleep(cut.after_s)
    bench.power.cut()
    bench.power.on()
    wait_until("the robot has settled on a version", robot.settled, _SETTLE_LIMIT_S)
    status = robot.status()
    running = running_of(status)
    if running not in ({first, new} if cut.kind == "installing" else {new}):
        raise BenchError(f"it runs {running}: {status}")
    if status["damaged"] or status["bad"]:
        raise BenchError(f"a version was given up for a cut: {status}")
    if robot.shell.run("cat /etc/machine-id /etc/holdfast/kept").stdout != kept.stdout:
        raise BenchError("what the robot had stored is another one")
    if running == first:
        if not (done := robot.install())["ok"]:
            raise BenchError(f"after the cut version {new} cannot be installed any more: {done['error']}")
        if (found := robot.kernels_of(new)) != kernels:
            raise BenchError(f"after the cut version {new} was not installed as it is: {found}")
    return running
