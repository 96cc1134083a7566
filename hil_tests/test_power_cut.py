"""The power goes while the robot writes, deploys and boots; `holdfast bench run power-cut` does it 200 times."""

from __future__ import annotations

import pytest

from holdfast_bench import power_cut
from holdfast_bench.robot import PYTHON
from holdfast_bench.vm_bench import VmBench

pytestmark = pytest.mark.needs("fleet")
_WRITE = """
import os
from holdfast_image.guest.boot_loader import system_partition
from holdfast_image.guest.firstboot import write_durably
replaced, new = (system_partition() / name for name in ("cut-replaced", "cut-new"))
write_durably(replaced, "before", 0o644)
os.sync()
write_durably(replaced, "after", 0o644)
write_durably(new, "new", 0o644)
"""
_READ = """
from holdfast_image.guest.boot_loader import system_partition
for file in sorted(system_partition().glob("cut-*")):
    print(file.name, file.read_text())
    file.unlink()
"""


@pytest.mark.parametrize(("seed", "kind"), [(2, "booting"), (5, "writing"), (12, "deploying")])
def test_a_power_cut_loses_nothing_that_was_acknowledged(bench: VmBench, seed: int, kind: str) -> None:
    result = power_cut.run(bench, count=1, seed=seed)
    assert result["kinds"][kind] == 1
    assert result["lost"] == 0
    assert (result["acknowledged"]["tasks"] > 0) == (kind == "writing")


def test_what_the_boot_loader_reads_is_whole_after_a_power_cut(bench: VmBench) -> None:
    bench.robot.shell.run(f"{PYTHON} -c '{_WRITE}'")
    bench.power.cut()
    bench.power.on()
    bench.wait_ready()
    assert bench.robot.shell.run(f"{PYTHON} -c '{_READ}'").stdout == "cut-new new\ncut-replaced after\n"
