"""A robot without real-time core: the deployer's and the core's protocol over controllers that really run.

It keeps what the worker keeps (the real store), checks a candidate for 100 ticks and runs it tick by tick
when told to, so that a trap or an emergency stop is the module's own doing. Used only through the seams of
`holdfast_ota.robot`.
"""

from __future__ import annotations

import hashlib
import math
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wasmtime

from holdfast.errors import RejectedError, UnreachableError
from holdfast.store import StoreThread
from holdfast.worker.deploy import WANTED

CHECK_TICKS = 100
CHANNELS = 6

SINE = (Path(__file__).resolve().parents[2] / "examples/controllers/sine.wat").read_text()


def controller(body: str = "", *, after: int = 0, amplitude: float = 0.1) -> str:
    """Return WAT that sets channel 0 and, from tick `after` on, does what `body` says."""
    return f"""(module
      (import "command" "set" (func $set (param i32 f64) (result i32)))
      (import "safety" "request_estop" (func $request_estop))
      (func (export "process") (param $tick i64)
        (drop (call $set (i32.const 0) (f64.const {amplitude})))
        (if (i64.ge_s (local.get $tick) (i64.const {after})) (then {body}))))"""


TRAPS_LATER = controller("unreachable", after=150)
SETS_NAN_LATER = controller("(drop (call $set (i32.const 0) (f64.const nan)))", after=150)
STOPS_LATER = controller("(call $request_estop)", after=150)
TRAPS_AT_ONCE = controller("unreachable")


class _Module:
    """An instance of a controller, with the faults that its own calls cause."""

    def __init__(self, source: bytes) -> None:
        self.fault = "none"
        self.message = ""
        self.tick = 0
        engine = wasmtime.Engine()
        self._store = wasmtime.Store(engine)
        linker = wasmtime.Linker(engine)
        f64, i32, i64 = wasmtime.ValType.f64(), wasmtime.ValType.i32(), wasmtime.ValType.i64()
        linker.define_func("command", "set", wasmtime.FuncType([i32, f64], [i32]), self._set)
        linker.define_func("math", "sin", wasmtime.FuncType([f64], [f64]), math.sin)
        linker.define_func("timing", "sim_time_ns", wasmtime.FuncType([], [i64]), lambda: self.tick * 10**7)
        linker.define_func("safety", "request_estop", wasmtime.FuncType([], []), self._request_estop)
        instance = linker.instantiate(self._store, wasmtime.Module(engine, source))
        self._process = instance.exports(self._store)["process"]

    def _set(self, channel: int, value: float) -> int:
        if not math.isfinite(value):
            self.fault, self.message = "not_finite", f"channel {channel} at tick {self.tick}"
            return -1
        return 0

    def _request_estop(self) -> None:
        self.fault, self.message = "estop_request", f"at tick {self.tick}"

    def step(self) -> None:
        """Run one tick, unless a fault came before."""
        if self.fault != "none":
            return
        try:
            assert isinstance(self._process, wasmtime.Func)
            self._process(self._store, self.tick)
        except wasmtime.Trap as trap:
            self.fault, self.message = "trap", f"{trap.trap_code} at tick {self.tick}"
        self.tick += 1


class SimulatedRobot:
    """Deployer and core of one robot."""

    def __init__(self, store: StoreThread, *, check_ticks: int = CHECK_TICKS) -> None:
        self._store = store
        self._check_ticks = check_ticks
        self._module: _Module | None = None
        self._loaded: dict[str, str] = {}
        self.boot_id = uuid.uuid4().hex
        self.armed = False
        self.reachable = True
        self.goes_away_at = ""
        """Where its core stops answering, once: "load", "loaded" (and the answer is lost) or "unload"."""
        self.looks = 0
        """How often the core was asked for its status."""
        self.loads: list[tuple[str, str, str]] = []
        """Name, version and origin of everything that was ever loaded."""

    async def boot(self) -> None:
        """Start the core anew and load what the store says, as the worker does."""
        self.boot_id, self.armed, self._module = uuid.uuid4().hex, False, None
        record = await self._store(self._store.store.active_controller)
        if record is not None:
            self._load(record.name, record.version, record.source, "boot")

    async def deploy(self, name: str, version: str, source: bytes, origin: str) -> Mapping[str, Any]:
        """Check, load and remember."""
        self._answer()
        candidate = _Module(source)
        for _ in range(self._check_ticks):
            candidate.step()
        if candidate.fault != "none":
            error = f"{candidate.fault}: {candidate.message}"
            raise RejectedError({"ok": False, "stage": "verify", "error": error})
        sha256 = hashlib.sha256(source).hexdigest()
        await self._store(
            self._store.store.stage_controller,
            sha256=sha256,
            name=name,
            version=version,
            source=source,
            cwasm=Path("simulated.cwasm"),
        )
        self._answer("load")
        self._load(name, version, source, origin)
        await self._store(self._store.store.activate_controller, sha256)
        await self._store(self._store.store.remember, WANTED, "yes")
        self._answer("loaded")
        return {"sha256": sha256}

    async def note_fault(self, sha256: str) -> None:
        """Remember that a controller failed, as the worker does: it is to be loaded by nobody but a person."""
        await self._store(self._store.store.mark_controller_faulted, sha256, "trap")

    async def unload(self, origin: str) -> None:
        """Load nothing."""
        self._answer("unload")
        self._module, self._loaded, self.armed = None, {}, False
        self.loads.append(("", "", origin))
        await self._store(self._store.store.deactivate_controllers)
        await self._store(self._store.store.remember, WANTED, "no")

    async def status(self) -> Mapping[str, Any]:
        """Say what the core says on `control.sock`."""
        self._answer()
        self.looks += 1
        module = self._module
        loaded: dict[str, Any] | None = None
        if module is not None:
            state = "faulted" if module.fault != "none" else "running" if self.armed else "loaded"
            loaded = {"state": state, "fault": module.fault, "message": module.message, "tick": module.tick}
            loaded.update(self._loaded)
        return {
            "ok": True,
            "mode": "armed" if self.armed else "disarmed",
            "boot_id": self.boot_id,
            "controller": loaded,
        }

    def run(self, ticks: int) -> None:
        """Let the loaded controller run for some ticks, if the robot is armed; a fault disarms it."""
        for _ in range(ticks):
            if self.armed and self._module is not None:
                self._module.step()
                self.armed = self._module.fault == "none"

    @property
    def version(self) -> str | None:
        """Version of the loaded controller."""
        return self._loaded.get("version")

    def _load(self, name: str, version: str, source: bytes, origin: str) -> None:
        self._module = _Module(source)
        self._loaded = {"name": name, "version": version, "sha256": hashlib.sha256(source).hexdigest()}
        self.loads.append((name, version, origin))

    def _answer(self, moment: str = "asked") -> None:
        if moment == self.goes_away_at:
            self.goes_away_at, self.reachable = "", False
        if not self.reachable:
            raise UnreachableError("control.sock does not answer: start holdfast-control")
