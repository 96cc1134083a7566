"""One source that holds all its mutants, each behind a switch, so that it is compiled once.

`a < b` becomes `(holdfast_mutant(7) ? (a <= b) : (a < b))`, and a statement is `{ if (!holdfast_mutant(8)) ... }`. The
function answers true for the one mutant that the process was started for, and reports that its place was reached.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from scripts.mutation.mutants import Anchor, Mutant

# Defined in runtime/control/tests/mutation/outcome_reporter.cpp. Most calls find their mutant off: one comparison.
DECLARATION = """extern "C" int holdfast_selected_mutant;
extern "C" bool holdfast_mutant_reached(int number) noexcept;
static inline bool holdfast_mutant(int number) noexcept {
    return __builtin_expect(number == holdfast_selected_mutant, false) && holdfast_mutant_reached(number);
}"""


@dataclass
class _Place:
    """An anchor with its mutants and the anchors inside it."""

    anchor: Anchor
    mutants: list[Mutant]
    inner: list[_Place] = field(default_factory=list)


def switchable(mutants: Sequence[Mutant]) -> list[Mutant]:
    """Return the mutants that a switch can hold; the compiler itself evaluates the places of the others."""
    return [mutant for mutant in mutants if not mutant.anchor.is_constant]


def switched(source: bytes, name: str, mutants: Sequence[Mutant]) -> bytes:
    """Return the source `name` with a switch around the place of each mutant."""
    root = _Place(Anchor(0, len(source), False, False, False), [])
    _nest(root, mutants)
    return f'{DECLARATION}\n#line 1 "{name}"\n{_render_inside(source, root)}'.encode()


def alone(source: bytes, name: str, mutant: Mutant) -> bytes:
    """Return the source with one mutant put in for good; the object says so when the process starts."""
    changed = mutant.applied_to(source).decode()
    proof = f"namespace {{ [[maybe_unused]] const bool kHoldfastMutant = holdfast_mutant_reached({mutant.number}); }}"
    return f'{DECLARATION}\n#line 1 "{name}"\n{changed}\n{proof}\n'.encode()


def _nest(root: _Place, mutants: Sequence[Mutant]) -> None:
    places: dict[tuple[int, int], _Place] = {}
    for mutant in mutants:
        anchor = mutant.anchor
        places.setdefault((anchor.start, anchor.end), _Place(anchor, [])).mutants.append(mutant)
    open_places = [root]
    for (start, end), place in sorted(places.items(), key=lambda item: (item[0][0], -item[0][1])):
        while end > open_places[-1].anchor.end:
            open_places.pop()
        if start < open_places[-1].anchor.start:
            raise AssertionError(f"anchors overlap at byte {start}")
        open_places[-1].inner.append(place)
        open_places.append(place)


def _render_inside(source: bytes, place: _Place) -> str:
    text, at = "", place.anchor.start
    for inner in place.inner:
        text += source[at : inner.anchor.start].decode() + _render(source, inner)
        at = inner.anchor.end
    return text + source[at : place.anchor.end].decode()


def _render(source: bytes, place: _Place) -> str:
    unchanged = _render_inside(source, place)
    if place.anchor.is_statement:
        switches = " || ".join(f"holdfast_mutant({mutant.number})" for mutant in place.mutants)
        return f"{{ if (!({switches})) {unchanged} }}"
    truth = "bool" if any(mutant.anchor.is_truth for mutant in place.mutants) else ""
    variants = (f"holdfast_mutant({m.number}) ? {truth}({_variant(source, m)}) : " for m in place.mutants)
    return f"({''.join(variants)}{truth}({unchanged}))"


def _variant(source: bytes, mutant: Mutant) -> str:
    anchor = mutant.anchor
    before, after = source[anchor.start : mutant.start], source[mutant.end : anchor.end]
    return before.decode() + mutant.after + after.decode()
