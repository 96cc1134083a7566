"""The checks as pytest sees them: a fixture around each test on the robot, and the marker `expect_fault`.

A conftest.py whose `bench` is a `Watched` imports `clean_afterwards`; its checks then run after each test that uses
`bench`, failed tests included, and what they find is an error of that test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from holdfast_bench.checks.findings import ExpectedFault, judge
from holdfast_bench.checks.watch import Watch, Watched

TESTS = Path("build/hil/tests")
MACHINES = Path("build/hil/machines")
MARKER = "expect_fault"
_NAME_LENGTH = 120


@pytest.fixture(autouse=True)
def clean_afterwards(request: pytest.FixtureRequest) -> Iterator[None]:
    """Watch the robot during a test, keep its console and journal, and judge what is found afterwards."""
    expected = expected_faults(request.node)
    if "bench" not in request.fixturenames:
        if expected:
            pytest.fail(f"{MARKER} needs the fixture `bench`: no robot is watched here", pytrace=False)
        yield
        return
    bench: Watched = request.getfixturevalue("bench")
    watch = Watch(bench)
    bench.before_cut = watch.look_before_cut
    try:
        yield
        findings = watch.finish()
    finally:
        bench.before_cut = None
        files = watch.save(TESTS / folder_name(request.node.nodeid))
        request.node.user_properties += [(name, str(file)) for name, file in files.items()]
    if complaints := judge(findings, expected):
        pytest.fail("after the test:\n" + "\n".join(complaints), pytrace=False)


def expected_faults(item: pytest.Item) -> list[ExpectedFault]:
    """Return what a test declares with `@pytest.mark.expect_fault("unit, counter or pattern", reason="...")`."""
    found = []
    for mark in item.iter_markers(MARKER):
        what, reason = mark.args[0] if len(mark.args) == 1 else None, mark.kwargs.get("reason")
        if not isinstance(what, str) or not what or not reason or set(mark.kwargs) != {"reason"}:
            pytest.fail(
                f'{MARKER} wants one unit, counter or pattern, and reason="..."; it got {mark.args} {mark.kwargs}',
                pytrace=False,
            )
        try:
            re.compile(what)
        except re.error as error:
            pytest.fail(f"{MARKER}: {what!r} is no regular expression: {error}", pytrace=False)
        found.append(ExpectedFault(what, str(reason)))
    return found


def folder_name(nodeid: str) -> str:
    """Return a folder's name for a test: readable, a single path component, and no two tests the same."""
    name = nodeid.removeprefix("hil_tests/").replace(".py::", ".").replace("::", ".")
    plain = re.sub(r"[^\w.=\[\]-]+", "-", name, flags=re.ASCII).strip(".-")
    if plain != name or len(plain) > _NAME_LENGTH:
        plain = f"{plain[:_NAME_LENGTH]}-{sha256(nodeid.encode()).hexdigest()[:8]}"
    return plain


def record_identity(identity: Mapping[str, str], record: Callable[[str, object], None]) -> None:
    """Write on what the suite runs into its JUnit file, by pytest's `record_testsuite_property`."""
    for name, value in identity.items():
        record(name, value)
