"""The linters find what they are there for: a bad snippet a rule family, appended to a copy of a real file.

The golden lists hold every active check: an upgrade that drops or adds one fails until somebody looks at it.
`UPDATE_GOLDEN=1 .venv/bin/pytest scripts/tests` writes them anew.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
GOLDEN = Path(__file__).parent / "golden"

CPP_SNIPPETS = {
    "bugprone-sizeof-expression": "unsigned long bad_size(const int* p) { return sizeof(p) / sizeof(*p); }",
    "clang-analyzer-core.NullDereference": "int bad_null() { int* p = nullptr; return *p; }",
    "clang-analyzer-cplusplus.NewDeleteLeaks": "void bad_leak() { int* p = new int(1); *p = 2; }",
    "clang-analyzer-deadcode.DeadStores": "int bad_store(int v) { int x = v; x = 2; x = v; return v; }",
    "cppcoreguidelines-init-variables": "int bad_init(bool b) { int v; v = b ? 1 : 2; return v; }",
    "cppcoreguidelines-pro-type-member-init": "struct BadMember { int v; BadMember() {} };",
    "misc-unused-parameters": "int bad_parameter(int used, int unused) { return used; }",
    "modernize-use-nullptr": "const char* bad_zero() { return 0; }",
    "performance-for-range-copy": (
        "struct Big { long a[64]; Big(); Big(const Big&); };\n"
        "long bad_copy(const Big (&all)[4]) {\n"
        "long s = 0; for (const Big one : all) s += one.a[0]; return s; }"
    ),
    "readability-identifier-naming": "int BadName() { return 1; }",
}

PYTHON_SNIPPETS = {
    "A001": "def bad() -> None:\n    list = 1\n    print(list)",
    "B006": "def bad(x: list[int] = []) -> None:\n    print(x)",
    "C401": "bad = set(x for x in range(3))",
    "D103": "def bad() -> None:\n    pass",
    "E711": "bad = sys == None",
    "F821": "bad = not_a_name",
    "I001": "import zlib\nimport abc",
    "N802": "def Bad() -> None:\n    pass",
    "PIE790": 'def bad() -> None:\n    """Do nothing."""\n    pass',
    "PT015": "def bad() -> None:\n    assert False",
    "PTH118": "import os\nbad = os.path.join('a', 'b')",
    "RET505": "def bad(x: int) -> int:\n    if x:\n        return 1\n    else:\n        return 2",
    "RUF005": "bad = [1] + [*range(2)]",
    "S602": "import subprocess\nsubprocess.run('ls', shell=True, check=True)",
    "SIM102": "def bad(a: int, b: int) -> None:\n    if a:\n        if b:\n            print(a)",
    "TID252": "from ..bad import name",
    "UP006": "from typing import List\nbad: List[int] = []",
    "W291": "bad = 1 ",
}

TYPE_SNIPPETS = {
    "arg-type": "len(5)",
    "attr-defined": "''.bad",
    "no-any-return": "import json\ndef bad() -> int:\n    return json.loads('1')",
    "no-untyped-call": "def untyped():\n    return 1\ndef bad() -> None:\n    untyped()",
    "no-untyped-def": "def bad(x):\n    return x",
    "type-arg": "bad: list = []",
    "union-attr": "import re\nre.match('a', 'b').group()",
    "unused-ignore": "bad_number = 1  # type: ignore",
}

SHELL_SNIPPETS = {
    "SC2086": "rm $1",
    "SC2155": 'bad() { local now="$(date)"; echo "$now"; }',
    "SC2164": "cd /nowhere",
}

TASK_SNIPPETS = {
    "fqcn[action-core]": "- name: Bad\n  file:\n    path: /tmp/x\n    state: absent",
    "name[missing]": "- ansible.builtin.ping:",
    "no-changed-when": "- name: Bad command\n  ansible.builtin.command: touch /x",
    "no-free-form": "- name: Bad form\n  ansible.builtin.file: path=/tmp/x state=absent",
    "risky-file-permissions": "- name: Bad mode\n  ansible.builtin.copy:\n    content: x\n    dest: /tmp/x",
    "yaml[truthy]": "- name: Bad truth\n  ansible.builtin.ping:\n  become: yes",
}


def output(*command: str | Path, stdin: str | None = None, cwd: Path = ROOT) -> str:
    """Return what a linter says, whatever its exit code."""
    done = subprocess.run(command, input=stdin, cwd=cwd, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def compare_with_golden(name: str, lines: list[str]) -> None:
    golden = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text("".join(f"{line}\n" for line in lines))
    assert lines == golden.read_text().splitlines()


def clang_tidy(source: Path) -> str:
    flags = ("--", "-std=c++20", f"-I{ROOT}/runtime/control/src")
    return output(BIN / "clang-tidy", "--quiet", f"--config-file={ROOT}/.clang-tidy", source, *flags)


@pytest.fixture(scope="module")
def cpp_original() -> str:
    return (ROOT / "runtime/control/src/rt/periodic.cpp").read_text()


@pytest.fixture(scope="module")
def cpp_findings(cpp_original: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    copy = tmp_path_factory.mktemp("cpp") / "periodic.cpp"
    copy.write_text("\n".join([cpp_original, *CPP_SNIPPETS.values(), ""]))
    return clang_tidy(copy)


@pytest.mark.parametrize("check", CPP_SNIPPETS)
def test_clang_tidy_finds_the_bad_snippet(cpp_findings: str, check: str) -> None:
    assert f"[{check},-warnings-as-errors]" in cpp_findings


def test_clang_tidy_finds_nothing_without_the_snippets(cpp_original: str, tmp_path: Path) -> None:
    copy = tmp_path / "periodic.cpp"
    copy.write_text(cpp_original)
    assert "warnings-as-errors" not in clang_tidy(copy)


def test_the_active_clang_tidy_checks_are_the_golden_ones() -> None:
    listing = output(BIN / "clang-tidy", f"--config-file={ROOT}/.clang-tidy", "--list-checks")
    checks = [line.strip() for line in listing.splitlines()[1:] if line.strip()]
    compare_with_golden("clang-tidy.txt", checks)


def test_clang_format_refuses_another_format(cpp_original: str) -> None:
    command = (
        BIN / "clang-format",
        "--dry-run",
        "--Werror",
        "--assume-filename=runtime/control/src/rt/periodic.cpp",
    )
    assert "code should be clang-formatted" in output(
        *command, stdin=cpp_original + "int  bad( ){return 1 ;}\n"
    )
    assert output(*command, stdin=cpp_original) == ""


def ruff_codes(source: str) -> set[str]:
    command = (
        "check",
        "--no-cache",
        "--output-format=json",
        "--stdin-filename=runtime/holdfast/copy.py",
        "-",
    )
    return {finding["code"] for finding in json.loads(output(BIN / "ruff", *command, stdin=source))}


@pytest.mark.parametrize("rule", PYTHON_SNIPPETS)
def test_ruff_finds_the_bad_snippet(rule: str) -> None:
    original = (ROOT / "scripts/stages.py").read_text()
    assert rule not in ruff_codes(original)
    assert rule in ruff_codes(f"{original}\n\n{PYTHON_SNIPPETS[rule]}\n")


def test_every_selected_ruff_family_has_a_snippet() -> None:
    families = re.search(r"^select = (\[.*\])$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert families is not None
    selected = json.loads(families[1])
    assert [f for f in selected if not any(re.match(rf"{f}\d", rule) for rule in PYTHON_SNIPPETS)] == []


def test_the_active_ruff_rules_are_the_golden_ones() -> None:
    settings = output(BIN / "ruff", "check", "--show-settings", "runtime/holdfast/__init__.py")
    enabled = settings.split("linter.rules.enabled = [", 1)[1].split("]", 1)[0]
    compare_with_golden(
        "ruff.txt", [line.strip().rstrip(",") for line in enabled.splitlines() if line.strip()]
    )


@pytest.fixture(scope="module")
def type_findings(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("types")
    copy = folder / "copy_of_stages.py"
    original = (ROOT / "scripts/stages.py").read_text()
    copy.write_text("\n".join([original, *TYPE_SNIPPETS.values(), ""]))
    return output(BIN / "mypy", "--config-file=pyproject.toml", f"--cache-dir={folder}", copy)


@pytest.mark.parametrize("code", TYPE_SNIPPETS)
def test_mypy_finds_the_bad_snippet(type_findings: str, code: str) -> None:
    assert f"[{code}]" in type_findings


@pytest.mark.parametrize("code", SHELL_SNIPPETS)
def test_shellcheck_finds_the_bad_snippet(code: str) -> None:
    original = (ROOT / ".ci/run").read_text()
    assert code not in output("shellcheck", "-", stdin=original)
    assert code in output("shellcheck", "-", stdin=f"{original}\n{SHELL_SNIPPETS[code]}\n")


@pytest.fixture(scope="module")
def task_findings(tmp_path_factory: pytest.TempPathFactory) -> str:
    copy = tmp_path_factory.mktemp("project") / "ansible"
    shutil.copytree(ROOT / "ansible", copy)
    tasks = copy / "roles/identity/tasks/main.yml"
    tasks.write_text("\n".join([tasks.read_text(), *TASK_SNIPPETS.values(), ""]))
    return output(BIN / "ansible-lint", "--offline", "--strict", "--nocolor", "-p", cwd=copy)


@pytest.mark.parametrize("rule", TASK_SNIPPETS)
def test_ansible_lint_finds_the_bad_snippet(task_findings: str, rule: str) -> None:
    assert rule in task_findings
