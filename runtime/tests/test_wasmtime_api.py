"""Our declarations of wasmtime's C API are those of the package that carries the library.

`wasmtime_api.hpp` is read statement by statement; functions, sizes and constants are compared with what the
package's own ctypes bindings say. The compiler checks the header's `static_assert`s; here their numbers are.
"""

import ctypes
import enum
import importlib.metadata
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from wasmtime import _bindings as bindings
from wasmtime import _ffi as ffi

REPOSITORY = Path(__file__).resolve().parents[2]
HEADER = REPOSITORY / "runtime/control/src/wasm/wasmtime_api.hpp"

FUNCTION = re.compile(
    r"^(?P<result>[\w:\s*]+?[\s*])(?P<name>wasm\w+)\((?P<arguments>[^()]*)\);", re.MULTILINE
)
SIZE = re.compile(r"static_assert\(sizeof\((\w+)\) == (\d+)\);")
OFFSET = re.compile(r"static_assert\(offsetof\((\w+), (\w+)\) == (\d+)\);")
CONSTANT = re.compile(r"inline constexpr \w+ (WASM\w+) = (\d+);")

SCALARS: dict[str, Any] = {
    "bool": ctypes.c_bool,
    "std::size_t": ctypes.c_size_t,
    "std::int64_t": ctypes.c_int64,
    "std::uint32_t": ctypes.c_uint32,
    "std::uint64_t": ctypes.c_uint64,
    "wasm_externkind_t": ctypes.c_uint8,
    "wasm_valkind_t": ctypes.c_uint8,
    "wasmtime_opt_level_t": ctypes.c_uint8,
    "wasmtime_func_unchecked_callback_t": bindings.wasmtime_func_unchecked_callback_t,
    "wasmtime_finalizer_t": ctypes.CFUNCTYPE(None, ctypes.c_void_p),
}
POINTEES: dict[str, Any] = {"char": ctypes.c_char, "std::uint8_t": ctypes.c_uint8}
# Constants whose value the bindings give as the place in an enumeration.
ENUMERATIONS: dict[str, type[enum.Enum]] = {
    "WASMTIME_OPT_LEVEL_": bindings.wasmtime_opt_level_enum,
    "WASM_EXTERN_": bindings.wasm_externkind_enum,
}


def ctype(declared: str) -> Any:
    """Return the ctypes type of a C type such as `const wasm_name_t*`; None is void."""
    bare = " ".join(declared.replace("const", " ").split()).replace(" *", "*")
    if bare == "void":
        return None
    if bare == "void*":
        return ctypes.c_void_p
    if bare.endswith("*"):
        pointee = bare[:-1]
        if pointee.endswith("*"):
            return ctypes.POINTER(ctype(pointee))
        return ctypes.POINTER(POINTEES.get(pointee) or getattr(bindings, pointee))
    return SCALARS[bare]


def code() -> str:
    """Return the header without comments."""
    return re.sub(r"//.*", "", HEADER.read_text(encoding="utf-8"))


def functions() -> list[tuple[str, str, list[str]]]:
    """Return name, result and arguments of every function the header declares."""
    found = []
    for match in FUNCTION.finditer(code()):
        arguments = [part.strip() for part in match["arguments"].split(",") if part.strip()]
        found.append((match["name"], match["result"].strip(), arguments))
    return found


def test_the_package_is_the_pinned_version() -> None:
    version = importlib.metadata.version("wasmtime")
    assert f"C API {version} " in HEADER.read_text(encoding="utf-8")
    assert f'"wasmtime=={version}"' in (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")


def test_every_statement_of_the_header_is_understood() -> None:
    statements = [
        line for line in code().splitlines() if line.startswith(("wasm", "const wasm", "bool ", "void "))
    ]
    statements += [line for line in code().splitlines() if line.startswith("std::")]
    assert len(statements) > 50
    assert len(functions()) == len(statements)


@pytest.mark.parametrize(("name", "result", "arguments"), functions(), ids=lambda value: str(value)[:60])
def test_a_function_is_declared_as_the_package_declares_it(
    name: str, result: str, arguments: list[str]
) -> None:
    declared = getattr(bindings, f"_{name}")
    assert declared.restype == ctype(result)
    assert list(declared.argtypes) == [ctype(argument) for argument in arguments]


def test_a_callback_returns_a_trap() -> None:
    # ctypes can give no pointer back from a callback: the bindings write it as an integer of that size.
    using = re.search(
        r"using wasmtime_func_unchecked_callback_t =\s+(.*?) \(\*\)\((.*?)\);", code(), re.DOTALL
    )
    assert using is not None
    assert using[1] == "wasm_trap_t*"
    callback: Any = bindings.wasmtime_func_unchecked_callback_t
    arguments = [ctype(part.strip()) for part in using[2].split(",")]
    assert list(callback._argtypes_) == arguments
    assert ctypes.sizeof(callback._restype_) == ctypes.sizeof(ctypes.c_void_p)


@pytest.mark.parametrize(("name", "size"), SIZE.findall(code()))
def test_a_structure_has_the_size_of_the_package(name: str, size: str) -> None:
    assert ctypes.sizeof(getattr(bindings, name)) == int(size)


def test_every_structure_with_fields_has_its_size_asserted() -> None:
    defined = set(re.findall(r"^(?:struct|union) (\w+) \{", code(), re.MULTILINE))
    assert defined
    assert defined == {name for name, _ in SIZE.findall(code())}


@pytest.mark.parametrize(("name", "field", "offset"), OFFSET.findall(code()))
def test_a_field_has_the_place_of_the_package(name: str, field: str, offset: str) -> None:
    assert getattr(getattr(bindings, name), field).offset == int(offset)


def constant_of(name: str, module: ModuleType = ffi) -> int:
    """Return a constant's value as the package knows it."""
    for prefix, enumeration in ENUMERATIONS.items():
        if name.startswith(prefix):
            return list(enumeration.__members__).index(name)
    if name.startswith("WASMTIME_TRAP_CODE_"):
        return int(bindings.wasmtime_trap_code_enum[name].value)
    return int(getattr(module, name).value)


@pytest.mark.parametrize(("name", "value"), CONSTANT.findall(code()))
def test_a_constant_has_the_value_of_the_package(name: str, value: str) -> None:
    assert constant_of(name) == int(value)
