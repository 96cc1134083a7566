"""What firmware, driver and simulator agree on. Changing anything here is a new PROTOCOL or VERSION."""

PROTOCOL = 1
"""Version of the lines on the wire; another one is refused."""
VERSION = "1.0.0"
"""Version of the firmware."""

LINE_LIMIT = 200
"""Longest line in bytes, line feed included."""
REQUEST_MODULUS = 1 << 16
"""Request numbers count up and start again at 0."""
EVENT_LIMIT = (1 << 30) - 1
"""Last event number of a session, and a small integer of MicroPython."""

SILENCE_MS = 2000
"""Silence of the host after which the outputs become safe."""
MARK_MS = 1000
"""While armed, a time mark is taken this often, so that a counter's wrap is never ambiguous."""
MARK_LIMIT_MS = 7000
"""Marks further apart than this, less than half a wrap, end a capture: its times could be wrong."""

TICK_NS = 56
"""One count: seven instructions of the capture program at 125 MHz."""
COUNTER_BITS = 28
"""Width of the counter of a time stamp: it wraps after 15.03 s."""

OUTPUTS = ("estop_in", "power", "reset")
"""1: contact of the e-stop closed (the robot may run); the robot has its supply; its reset line is held."""
SAFE_LEVELS = {"estop_in": 0, "power": 1, "reset": 0}
"""Outputs at power-on, between sessions and after SILENCE_MS: the robot is stopped and keeps its supply."""
INPUTS = ("enable_out", "loop_pin")
"""The robot's enable line; the pin that its loop toggles in each period."""
CHANNELS = ("estop_in", "power", "enable_out", "loop_pin")
"""What edges are stamped of, bit 0 first; outputs among them, so that cause and effect have one clock."""

COMMANDS = {
    "hello": 0,  # begins a session: safe outputs, nothing armed, event numbers from 0; answers with the identity
    "beat": 0,  # the host is alive (so says every other good request)
    "set": 2,  # OUTPUT 0|1
    "get": 0,  # answers with the levels of outputs and inputs
    "arm": 1,  # CHANNEL[,CHANNEL...]: capture from now on; events start, edge, mark, lost
    "sync": 0,  # sends every event until now before its answer, which holds their number
    "disarm": 0,  # the same, and the capture ends
}
"""Requests and how many arguments each one has."""

ERRORS = ("line", "command", "argument", "sequence", "session")
"""Reasons to refuse: unreadable line, unknown command, bad argument, request number out of order, no session."""
EVENTS = {
    "boot": 1,  # BOOT: the probe has started
    "failsafe": 0,  # the host was silent: outputs are safe and the session is over
    "start": 2,  # COUNTER LEVELS: the capture begins
    "edge": 2,  # COUNTER LEVELS: at least one armed channel changed
    "mark": 1,  # COUNTER: no armed channel changed
    "lost": 1,  # "ring" or "marks": the capture ended, edges are missing
}
"""What the probe says unasked, and how many fields each one has."""
