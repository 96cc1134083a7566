"""The health window by itself: what each answer of the core means."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast_ota.health import Health, HealthWindow


def status(tick: int = 0, **changes: Any) -> dict[str, Any]:
    loaded = {"state": "running", "fault": "none", "message": "", "sha256": "abc", "tick": tick}
    return {"boot_id": "one", "controller": {**loaded, **changes}}


def test_only_ticks_count_and_the_first_look_is_the_origin() -> None:
    window = HealthWindow("abc", 100)
    assert window.observe(status(5000)).health is Health.WATCHING
    assert window.observe(status(5099)).health is Health.WATCHING
    assert window.observe(status(5099)).health is Health.WATCHING
    assert window.observe(status(5100)).health is Health.HEALTHY
    assert window.share == 1.0


def test_a_tick_that_begins_anew_goes_on_counting() -> None:
    window = HealthWindow("abc", 100)
    for tick in (0, 60, 0, 39):
        assert window.observe(status(tick)).health is Health.WATCHING
    assert window.observe(status(40)).health is Health.HEALTHY


@pytest.mark.parametrize("fault", ["trap", "overrun", "not_finite", "estop_request", "something_new"])
def test_every_fault_is_one_even_in_the_last_tick(fault: str) -> None:
    window = HealthWindow("abc", 100)
    window.observe(status(0))
    verdict = window.observe(status(100, fault=fault, message="at tick 99"))
    assert verdict.health is Health.FAULTY
    assert verdict.reason.endswith(": at tick 99")


def test_a_faulted_state_without_a_named_fault_is_a_fault() -> None:
    assert HealthWindow("abc", 1).observe(status(state="faulted")).health is Health.FAULTY


def test_what_the_core_rolled_back_itself_is_a_fault_and_no_persons_choice() -> None:
    window = HealthWindow("abc", 100)
    window.observe(status(0))
    failed = {"sha256": "abc", "fault": "trap", "message": "process(7) trapped", "to": "good"}
    back = status(0, sha256="good", state="loaded")
    verdict = window.observe({**back, "lifecycle": {"rolled_back": failed}})
    assert verdict.health is Health.FAULTY
    assert verdict.reason == "it trapped: process(7) trapped"
    other = {**failed, "sha256": "other"}
    assert window.observe({**back, "lifecycle": {"rolled_back": other}}).health is Health.REPLACED


def test_another_controller_none_and_another_core() -> None:
    window = HealthWindow("abc", 1)
    assert window.observe(status(sha256="other")).health is Health.REPLACED
    assert window.observe({"boot_id": "one", "controller": None}).health is Health.REPLACED
    assert window.observe({**status(9), "boot_id": "two"}).health is Health.INTERRUPTED
