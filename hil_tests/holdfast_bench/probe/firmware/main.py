"""Starts the probe; copied to the root of the board, beside the folder `firmware`."""

from firmware.board import run

run()
