"""What the probe does, without the chip: requests, answers, events, and outputs that become safe by themselves."""

from . import table, wire

_QUEUE_LIMIT = 16
"""Lines that wait for the host; beyond it, events stay in the capture's ring, which reports its own overflow."""
_BACKLOG_LIMIT = 64
"""Beyond so many, requests are dropped unanswered: a host that does not read must not fill the heap."""


class Hardware:
    """What the core needs of a board; `board` and the simulator implement it."""

    def ticks_ms(self) -> int:
        """Return a clock in milliseconds that may wrap."""
        raise NotImplementedError

    def ticks_diff(self, later: int, earlier: int) -> int:
        """Return the milliseconds between two values of that clock."""
        raise NotImplementedError

    def set(self, output: str, level: int) -> None:
        """Drive an output."""
        raise NotImplementedError

    def hold(self) -> None:
        """Keep the e-stop contact closed for another SILENCE_MS; without this it opens, whatever the core does."""
        raise NotImplementedError

    def get(self, name: str) -> int:
        """Return the level of an output or input."""
        raise NotImplementedError

    def start_capture(self) -> None:
        """Stamp changes of CHANNELS from now on, beginning with their present levels."""
        raise NotImplementedError

    def stop_capture(self) -> None:
        """Stop and forget what was not taken."""
        raise NotImplementedError

    def mark(self) -> None:
        """Make the capture stamp the present levels though nothing changed."""
        raise NotImplementedError

    def take(self) -> "tuple[int, int] | None":
        """Return the oldest stamp as counter (counting up) and levels, None if there is none."""
        raise NotImplementedError

    def overflowed(self) -> bool:
        """Tell whether a stamp was lost since the capture began."""
        raise NotImplementedError

    def write(self, line: bytes) -> bool:
        """Send a line whole, or return False and send nothing of it."""
        raise NotImplementedError


class Core:
    """One probe. Call `receive` with what the host sent and `poll` as often as possible."""

    def __init__(
        self,
        hardware: Hardware,
        boot: str,
        digest: str,
        version: str = table.VERSION,
        protocol: int = table.PROTOCOL,
    ) -> None:
        self._hardware = hardware
        self._identity = (
            "protocol=%d" % protocol,  # noqa: UP031
            "version=" + version,
            "boot=" + boot,
            "tick_ns=%d" % table.TICK_NS,  # noqa: UP031
            "hash=" + digest,
        )
        self._lines = wire.LineBuffer()
        self._queue: list[bytes] = []
        self._session = False
        self._closed = 0  # what the host wants of the e-stop contact; hardware may have opened it since
        self._request = 0
        self._answer = b""
        self._heard_ms = 0
        self._next_event = 0
        self._armed = 0
        self._capturing = False
        self._started = False
        self._levels = 0
        self._marked_ms = 0
        self._stamped_ms = 0
        self._make_safe()
        self._event("boot", boot)

    def receive(self, data: bytes) -> None:
        """Act on bytes from the host; a bad line is refused and changes nothing."""
        self._watch_host()  # before a late request makes it look as if nothing had happened
        for line in self._lines.feed(data):
            if len(self._queue) < _BACKLOG_LIMIT:
                answer = self._serve(line)  # may begin a session and with it an empty queue
                self._queue.append(answer)

    def poll(self) -> None:
        """Do what time demands, send what waits."""
        self._watch_host()
        if self._capturing:
            self._watch_time()
            self._send_stamps(_QUEUE_LIMIT)
        self._flush()

    def _watch_host(self) -> None:
        silence_ms = self._hardware.ticks_diff(self._hardware.ticks_ms(), self._heard_ms)
        opened = self._closed and not self._hardware.get("estop_in")
        if self._session and (opened or silence_ms >= table.SILENCE_MS):
            self._end_session()
            self._event("failsafe")

    def _serve(self, line: bytes) -> bytes:
        try:
            fields = wire.decode(line)
            request = wire.number(fields[0], table.REQUEST_MODULUS - 1)
        except wire.LineError:
            return wire.encode("=", "-", "error", "line")
        command = fields[1] if len(fields) > 1 else ""
        if command == "hello" and len(fields) == 2:
            self._begin_session(request)
        elif not self._session:
            return wire.encode("=", fields[0], "error", "session")
        elif request == self._request:
            self._heard()
            return self._answer  # the host did not get it: the same answer, and nothing is done twice
        elif request != (self._request + 1) % table.REQUEST_MODULUS:
            return wire.encode("=", fields[0], "error", "sequence")
        self._request = request
        self._heard()
        try:
            self._answer = wire.encode("=", fields[0], "ok", *self._run(command, fields[2:]))
        except wire.LineError as error:
            self._answer = wire.encode("=", fields[0], "error", str(error))
        return self._answer

    def _run(self, command: str, arguments: "list[str]") -> "tuple[str, ...]":
        if command not in table.COMMANDS:
            raise wire.LineError("command")
        if len(arguments) != table.COMMANDS[command]:
            raise wire.LineError("argument")
        if command == "hello":
            return self._identity
        if command == "set":
            self._set(arguments[0], arguments[1])
        elif command == "get":
            names = table.OUTPUTS + table.INPUTS
            return tuple(["%s=%d" % (name, self._hardware.get(name)) for name in names])  # noqa: UP031
        elif command == "arm":
            self._arm(arguments[0].split(","))
        elif command in ("sync", "disarm"):
            return self._sync(command == "disarm")
        return ()

    def _set(self, output: str, level: str) -> None:
        if output not in table.OUTPUTS or level not in ("0", "1"):
            raise wire.LineError("argument")
        if output == "estop_in":
            self._closed = int(level)
        self._hardware.set(output, int(level))

    def _arm(self, channels: "list[str]") -> None:
        mask = 0
        for channel in channels:
            if channel not in table.CHANNELS:
                raise wire.LineError("argument")
            mask |= 1 << table.CHANNELS.index(channel)
        self._hardware.stop_capture()
        self._armed = mask
        self._capturing = True
        self._started = False
        self._marked_ms = self._stamped_ms = self._hardware.ticks_ms()
        self._hardware.start_capture()

    def _sync(self, end: bool) -> "tuple[str]":
        # Not bounded by the queue: the answer promises every stamp until now, and the ring bounds how many there are.
        if self._capturing:
            self._watch_time()
            self._send_stamps(None)
        if end:
            self._stop_capture()
        return ("events=%d" % self._next_event,)  # noqa: UP031

    def _watch_time(self) -> None:
        now_ms = self._hardware.ticks_ms()
        if self._hardware.ticks_diff(now_ms, self._stamped_ms) >= table.MARK_LIMIT_MS:
            self._lose("marks")
        elif self._hardware.ticks_diff(now_ms, self._marked_ms) >= table.MARK_MS:
            self._marked_ms = now_ms
            self._hardware.mark()

    def _send_stamps(self, limit: "int | None") -> None:
        while self._capturing and (limit is None or len(self._queue) < limit):
            stamp = self._hardware.take()
            if self._hardware.overflowed():  # asked afterwards: it may have happened while this one was taken
                self._lose("ring")
                return
            if stamp is None:
                return
            self._stamped_ms = self._hardware.ticks_ms()
            self._send_stamp(stamp[0], stamp[1])

    def _send_stamp(self, counter: int, levels: int) -> None:
        changed = (levels ^ self._levels) & self._armed
        quiet = levels == self._levels
        self._levels = levels
        if not self._started:
            self._started = True
            self._event("start", str(counter), str(levels))
        elif changed:
            self._event("edge", str(counter), str(levels))
        elif quiet:
            self._event("mark", str(counter))

    def _lose(self, reason: str) -> None:
        self._stop_capture()
        self._event("lost", reason)

    def _stop_capture(self) -> None:
        self._capturing = False
        self._hardware.stop_capture()

    def _event(self, kind: str, *fields: str) -> None:
        self._queue.append(wire.encode("!", str(self._next_event), kind, *fields))
        self._next_event += 1

    def _heard(self) -> None:
        self._heard_ms = self._hardware.ticks_ms()
        if self._closed:
            self._hardware.hold()

    def _begin_session(self, request: int) -> None:
        self._end_session()
        self._queue = []
        self._next_event = 0
        self._session = True

    def _end_session(self) -> None:
        self._session = False
        self._stop_capture()
        self._make_safe()

    def _make_safe(self) -> None:
        self._closed = 0
        for output in table.OUTPUTS:
            self._hardware.set(output, table.SAFE_LEVELS[output])

    def _flush(self) -> None:
        while self._queue and self._hardware.write(self._queue[0]):
            self._queue.pop(0)
