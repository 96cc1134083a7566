# mypy: disable-error-code="attr-defined, no-any-return"
"""The probe's board: pins, capture through PIO and DMA into a ring, USB serial. Needs MicroPython 1.24 or later."""

import binascii
import os
import select
import sys
import time

import machine
import rp2
import uctypes

from . import identity, pio, table
from .core import Core, Hardware

_CLOCK_HZ = 125_000_000  # seven cycles of it are table.TICK_NS; RP2040 and RP2350 can both do it
_FIRST_PIN = 2  # GP2 to GP5 are table.CHANNELS in their order
_PINS = {"estop_in": 2, "power": 3, "enable_out": 4, "loop_pin": 5, "reset": 6}
_INVERTED = (
    "power",
)  # its relay cuts the supply when it is driven, so that a dead probe leaves the robot powered

_HOLD_HZ = 1_000_000
_HOLD_ROUNDS = table.SILENCE_MS * (_HOLD_HZ // 1000) // 5

_RING = 1024  # stamps; a loop pin of 1 kHz fills it in half a second
_RING_BITS = 12  # log2 of its bytes, to which it is aligned
_TRANSFERS = (
    0x0FFFFFFF  # of one capture: 37 hours at 2,000 edges a second, then the FIFO overflows and says so
)
_REQUEST_RX0 = 4  # DMA request of the first state machine's receive FIFO, RP2040 and RP2350
_FDEBUG = 0x50200008  # of the first PIO block; bit 0: the first state machine dropped a word
_COUNTER_MASK = (1 << table.COUNTER_BITS) - 1
_READ_LIMIT = 64  # bytes taken from the host in one round of the loop


class Board(Hardware):
    """Everything that is the chip's."""

    def __init__(self) -> None:
        machine.freq(_CLOCK_HZ)
        hold = rp2.asm_pio(set_init=rp2.PIO.OUT_LOW)(pio.hold)
        self._capture_program = rp2.asm_pio(in_shiftdir=rp2.PIO.SHIFT_LEFT, fifo_join=rp2.PIO.JOIN_RX)(
            pio.capture
        )
        self._pins = {
            "estop_in": machine.Pin(_PINS["estop_in"]),
            "power": machine.Pin(_PINS["power"], machine.Pin.OUT, value=0),
            "reset": machine.Pin(_PINS["reset"], machine.Pin.OUT, value=0),
            "enable_out": machine.Pin(_PINS["enable_out"], machine.Pin.IN, machine.Pin.PULL_DOWN),
            "loop_pin": machine.Pin(_PINS["loop_pin"], machine.Pin.IN, machine.Pin.PULL_DOWN),
        }
        self._hold = rp2.StateMachine(1, hold, freq=_HOLD_HZ, set_base=self._pins["estop_in"])
        self._hold.active(1)
        self._capture = rp2.StateMachine(0, self._capture_program, in_base=machine.Pin(_FIRST_PIN))
        self._flip = 0
        for name in _INVERTED:
            self._flip |= 1 << table.CHANNELS.index(name)
        self._buffer = bytearray(2 << _RING_BITS)
        self._ring = (uctypes.addressof(self._buffer) + (1 << _RING_BITS) - 1) & -(1 << _RING_BITS)
        self._dma = rp2.DMA()
        self._taken = 0
        self._readable = select.poll()
        self._readable.register(sys.stdin, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(sys.stdout, select.POLLOUT)

    def ticks_ms(self) -> int:
        return time.ticks_ms()

    def ticks_diff(self, later: int, earlier: int) -> int:
        return time.ticks_diff(later, earlier)

    def set(self, output: str, level: int) -> None:
        if output == "estop_in":
            self._hold.put(_HOLD_ROUNDS if level else 0)
            time.sleep_us(20)  # two rounds of its program: from here on `get` reads what was set
        else:
            self._pins[output].value(level ^ (output in _INVERTED))

    def hold(self) -> None:
        self._hold.put(_HOLD_ROUNDS)

    def get(self, name: str) -> int:
        return self._pins[name].value() ^ (name in _INVERTED)

    def start_capture(self) -> None:
        self._capture.init(self._capture_program, in_base=machine.Pin(_FIRST_PIN))
        self._capture.exec("mov(osr, invert(null))")
        self._capture.exec("mov(y, invert(null))")
        machine.mem32[_FDEBUG] = 1  # writing 1 clears it
        self._taken = 0
        self._dma.config(
            read=self._capture,
            write=self._ring,
            count=_TRANSFERS,
            ctrl=self._dma.pack_ctrl(
                inc_read=False, inc_write=True, ring_sel=True, ring_size=_RING_BITS, treq_sel=_REQUEST_RX0
            ),
            trigger=True,
        )
        self._capture.active(1)

    def stop_capture(self) -> None:
        self._capture.active(0)
        self._dma.active(0)

    def mark(self) -> None:
        self._capture.exec("mov(y, invert(null))")

    def take(self) -> "tuple[int, int] | None":
        if self._written() == self._taken:
            return None
        word = machine.mem32[self._ring + 4 * (self._taken % _RING)]
        self._taken += 1
        return -word & _COUNTER_MASK, (word >> table.COUNTER_BITS & 0xF) ^ self._flip

    def overflowed(self) -> bool:
        # The slot taken last must still have been whole when it was read: the writer may not have come round to it.
        return self._written() - self._taken >= _RING or bool(machine.mem32[_FDEBUG] & 1)

    def write(self, line: bytes) -> bool:
        if not self._writable.poll(0):
            return False
        sys.stdout.buffer.write(line)
        return True

    def read(self) -> bytes:
        """Return what the host sent, without waiting."""
        data = b""
        while len(data) < _READ_LIMIT and self._readable.poll(0):
            data += sys.stdin.buffer.read(1)
        return data

    def _written(self) -> int:
        return _TRANSFERS - self._dma.count


def run() -> None:
    """Serve the host for ever; Ctrl-C, which mpremote sends first, makes the outputs safe and ends it."""
    board = Board()
    boot = binascii.hexlify(os.urandom(4)).decode()
    core = Core(board, boot, identity.files_hash("firmware"))
    try:
        while True:
            core.receive(board.read())
            core.poll()
    finally:
        board.stop_capture()
        for output in table.OUTPUTS:
            board.set(output, table.SAFE_LEVELS[output])
