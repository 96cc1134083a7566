"""What a controller file must be before anybody signs it: a WebAssembly module of our ABI (DESIGN §3).

This is the publisher's own check, so that a slip is seen at the desk. Each robot runs its 100 ticks itself.
"""

from __future__ import annotations

from pathlib import Path

import wasmtime

from holdfast_ota.errors import PublishError
from holdfast_ota.target import MAX_CONTROLLER_BYTES

_ABI = {
    "command": {"set", "count", "limit_min", "limit_max"},
    "state": {"get", "count"},
    "math": {"sin", "cos"},
    "safety": {"request_estop"},
    "timing": {"now_ns", "sim_time_ns"},
    "telemetry": {"emit_metric"},
}


def read_controller(path: Path) -> bytes:
    """Read a controller, convert text (.wat) to binary, and check that it compiles and has the ABI's shape.

    Raises:
        PublishError: the file is missing, empty, does not compile, or imports or exports the wrong things.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise PublishError(f"{path} cannot be read ({error.strerror}): name a .wat or .wasm file") from error
    if not source:
        raise PublishError(f"{path} is empty: build the controller again")
    try:
        binary = source if source.startswith(b"\0asm") else bytes(wasmtime.wat2wasm(source.decode()))
        module = wasmtime.Module(wasmtime.Engine(), binary)
    except UnicodeDecodeError as error:
        raise PublishError(
            f"{path} is neither WebAssembly text nor binary: name a .wat or .wasm file"
        ) from error
    except wasmtime.WasmtimeError as error:
        raise PublishError(f"{path} does not compile: {str(error).strip()}") from error
    if len(binary) > MAX_CONTROLLER_BYTES:
        raise PublishError(
            f"{path} has {len(binary)} bytes, and robots take {MAX_CONTROLLER_BYTES}: make it smaller"
        )
    _check_shape(path, module)
    return binary


def _check_shape(path: Path, module: wasmtime.Module) -> None:
    process = next((export.type for export in module.exports if export.name == "process"), None)
    if (
        not isinstance(process, wasmtime.FuncType)
        or [str(kind) for kind in process.params] != ["i64"]
        or process.results
    ):
        raise PublishError(
            f"{path} does not export process(i64) -> (): add "
            '(func (export "process") (param $tick i64) ...), which the core calls each tick'
        )
    for item in module.imports:
        if item.name not in _ABI.get(item.module, set()):
            known = ", ".join(
                f"{module_}.{name}" for module_, names in _ABI.items() for name in sorted(names)
            )
            raise PublishError(
                f"{path} imports {item.module}.{item.name}, which no robot has: use one of {known}"
            )
