"""Errors of the probe, seen from the bench's side. Each one ends the session: open the probe anew.

ProbeError                  root; a scenario that meets one is red
├── ProbePortError          the port is absent, busy, or was unplugged
├── ProbeTimeoutError       no good answer in time
├── ProbeFirmwareError      another protocol, version or hash than this tree's; says how to flash it
├── ProbeRefusedError       the probe understood the request and refused it
├── ProbeRestartedError     the probe began anew (supply, crash, reset)
├── ProbeSilenceError       the host was silent for too long: the e-stop contact opened by itself
└── ProbeLossError          edges are missing; what was measured must not be used
"""

from holdfast_bench.result import BenchError


class ProbeError(BenchError):
    """Root of the probe's errors."""


class ProbePortError(ProbeError):
    """The serial port cannot be used."""


class ProbeTimeoutError(ProbeError):
    """The probe did not answer in time."""


class ProbeFirmwareError(ProbeError):
    """The probe runs something else than this tree contains."""


class ProbeRefusedError(ProbeError):
    """The probe refused a request."""


class ProbeRestartedError(ProbeError):
    """The probe restarted during a session."""


class ProbeSilenceError(ProbeError):
    """The probe heard nothing for so long that it made its outputs safe."""


class ProbeLossError(ProbeError):
    """At least one edge was lost."""
