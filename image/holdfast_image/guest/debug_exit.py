"""Ends QEMU from inside with a code of its own: `python -m holdfast_image.guest.debug_exit`.

The bench gives its guests QEMU's isa-debug-exit device. A value written to its port ends the machine at once
with (value << 1) | 1, which neither a panic, a reboot nor a power-off does. Elsewhere the port leads nowhere.
"""

from __future__ import annotations

import os

PORT = 0xF4
VALUE = 0x2A
EXIT_CODE = (VALUE << 1) | 1


def main() -> None:
    """Put everything on disk, then end the machine."""
    os.sync()
    with open("/dev/port", "wb", buffering=0) as ports:  # noqa: PTH123 (a character device)
        ports.seek(PORT)
        ports.write(bytes([VALUE]))


if __name__ == "__main__":
    main()
