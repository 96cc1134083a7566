"""Firmware of the probe: MicroPython on an RP2040 or RP2350, copied to its folder `firmware`.

`table`, `wire`, `core` and `identity` use nothing but what MicroPython and CPython share, so that the simulator runs
the very same code on a simulated board. Only `board`, `pio` and `main` need the chip.
"""
