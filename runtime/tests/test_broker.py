"""The ports that sessions and tests choose for their servers."""

from __future__ import annotations

import random

from holdfast.broker import free_port


def test_a_port_is_given_once_even_before_anybody_listens_on_it() -> None:
    chosen = []
    for _ in range(2):
        random.seed(7)
        chosen.append(free_port())
    assert chosen[0] != chosen[1]
