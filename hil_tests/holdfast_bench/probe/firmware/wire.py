"""Lines on the wire: fields in printable ASCII, one space between them, `*`, their CRC-32 in hexadecimal, line feed.

REQUEST COMMAND ARGUMENT...             host to probe
= REQUEST ok FIELD...                   its answer
= REQUEST error REASON                  its refusal (REQUEST is - where it could not be read)
! EVENT KIND FIELD...                   unasked, numbered from 0 in each session (a boot before it is 0 too)

The CRC is that of zip and Ethernet (`binascii.crc32`), over everything before the `*`.
"""

import binascii

from .table import LINE_LIMIT

_CRC_DIGITS = 8
_HEXADECIMAL = b"0123456789abcdef"


class LineError(ValueError):
    """A line that must not be believed; says why."""


def encode(*fields: str) -> bytes:
    """Return the fields as one line."""
    body = " ".join(fields)
    line = ("%s*%08x\n" % (body, binascii.crc32(body.encode()))).encode()  # noqa: UP031 - half the heap of format()
    if len(line) > LINE_LIMIT:
        raise LineError("line is longer than the protocol allows")
    return line


def decode(line: bytes) -> list[str]:
    """Return the fields of a line without its line feed.

    Raises:
        LineError: too long, not printable ASCII, no or a wrong checksum, or no fields.
    """
    if len(line) >= LINE_LIMIT:
        raise LineError("longer than the protocol allows")
    for byte in line:
        if not 0x20 <= byte <= 0x7E:
            raise LineError("a byte that is no printable ASCII")
    star = len(line) - _CRC_DIGITS - 1
    if star < 0 or line[star : star + 1] != b"*":
        raise LineError("no checksum")
    digits = line[star + 1 :]
    for digit in digits:
        if digit not in _HEXADECIMAL:
            raise LineError("no checksum")
    if int(digits.decode(), 16) != binascii.crc32(line[:star]):
        raise LineError("wrong checksum")
    fields = line[:star].decode().split(" ")
    if "" in fields:
        raise LineError("an empty field")
    return fields


def number(text: str, limit: int) -> int:
    """Return a decimal number from 0 to `limit`, written in one way only.

    Raises:
        LineError: it is none.
    """
    if not text or len(text) > 10 or (text[0] == "0" and text != "0"):
        raise LineError("no number from 0 to %d" % limit)  # noqa: UP031
    for digit in text:
        if digit not in "0123456789":
            raise LineError("no number from 0 to %d" % limit)  # noqa: UP031
    value = int(text)
    if value > limit:
        raise LineError("no number from 0 to %d" % limit)  # noqa: UP031
    return value


class LineBuffer:
    """Cuts a stream of bytes into lines and holds at most one line's worth of it."""

    def __init__(self) -> None:
        self._rest = b""
        self._too_long = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes; a line that is too long comes as its first LINE_LIMIT bytes."""
        parts = data.split(b"\n")
        lines = []
        for part in parts[:-1]:
            line = self._take(part)
            if line is not None:
                lines.append(line)
            self._too_long = False
        last = self._take(parts[-1], complete=False)
        if last is not None:
            lines.append(last)
        return lines

    def _take(self, part: bytes, complete: bool = True) -> "bytes | None":
        if self._too_long:
            return None
        line = self._rest + part
        self._rest = b""
        if len(line) >= LINE_LIMIT:
            self._too_long = True
            return line[:LINE_LIMIT]
        if complete:
            return line
        self._rest = line
        return None
