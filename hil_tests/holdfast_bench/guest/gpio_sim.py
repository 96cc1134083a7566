"""Makes a simulated GPIO chip with the enable line, before the daemons: `python -m holdfast_bench.guest.gpio_sim`.

The kernel's gpio-sim is configured below configfs and shows the level of its lines in sysfs (its documentation:
admin-guide/gpio/gpio-sim.rst). The chip has the label LABEL; ENABLE_LEVEL leads to the file with the line's level.
"""

from __future__ import annotations

import grp
import os
import sys
from pathlib import Path

LABEL = "holdfast-sim"
ENABLE_LINE = f"{LABEL}:0"
ENABLE_LEVEL = Path("/run/holdfast/enable-line")
_CONFIG = Path("/sys/kernel/config/gpio-sim")
_DEVICES = Path("/sys/devices/platform")
_GROUP = "holdfast"


def make_chip(config: Path = _CONFIG, devices: Path = _DEVICES) -> tuple[str, Path]:
    """Make the chip; returns its device's name and the file that shows the level of its line."""
    chip = config / LABEL
    bank = chip / "bank0"
    bank.mkdir(parents=True, exist_ok=True)
    (bank / "num_lines").write_text("1")
    (bank / "label").write_text(LABEL)
    (chip / "live").write_text("1")
    device = (bank / "chip_name").read_text().strip()
    return device, devices / (chip / "dev_name").read_text().strip() / device / "sim_gpio0" / "value"


def main() -> int:
    """Make the chip, give the daemons' group access to it, and say where its level is."""
    device, level = make_chip()
    node = Path("/dev") / device
    os.chown(node, 0, grp.getgrnam(_GROUP).gr_gid)
    node.chmod(0o660)
    ENABLE_LEVEL.unlink(missing_ok=True)
    ENABLE_LEVEL.symlink_to(level)
    print(f"{device} has the line {ENABLE_LINE}; its level is in {level}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
