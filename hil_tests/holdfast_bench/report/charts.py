"""The report's drawings, as SVG to stand inside an HTML page: text stays text, colours are the page's own.

matplotlib draws with fixed colours; those of the table below become variables of the page's style, so that one drawing
is readable on a light and on a dark ground.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from holdfast.status import PHASES
from holdfast_bench.plots import draw_reactions, new_figure
from holdfast_bench.report.limits import limit_of
from holdfast_bench.report.timeline import Strand
from holdfast_bench.timing import Histogram

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9.0,
    "axes.titlesize": 9.5,
}
_COLOURS = {
    "#000000": "currentColor",
    "#1f77b4": "var(--series-1)",
    "#ff7f0e": "var(--series-2)",
    "#2ca02c": "var(--series-3)",
    "#9467bd": "var(--series-4)",
    "#d62728": "var(--bad)",
    "#b0b0b0": "var(--grid)",
}
_SERIES = ("tab:blue", "tab:orange", "tab:green", "tab:purple")
_ROWS: Mapping[str, tuple[str, ...]] = {
    "wake-up latency": ("wake",),
    "time of a cycle": ("cycle",),
    "time of the controller": ("controller",),
    "phases of a cycle": PHASES,
}
_WIDTH_IN = 9.5
_ROW_IN = 2.2


def loop_chart(scenario: str, histograms: Mapping[str, Histogram]) -> str:
    """Draw the loop's latencies: how many cycles took how long, and the share that took longer.

    Both counts and shares stand on logarithmic axes: one slow cycle in a million can be seen.
    """
    rows = {title: names for title, names in _ROWS.items() if all(histograms.get(name) for name in names)}
    if not rows:
        return ""

    def draw() -> Figure:
        figure = new_figure(_WIDTH_IN, _ROW_IN * len(rows))
        axes = figure.subplots(len(rows), 2, squeeze=False)
        for (title, names), (count, tail) in zip(rows.items(), axes, strict=True):
            _loop_row(count, tail, scenario, title, {name: histograms[name] for name in names})
        return figure

    return _inline(draw, f"{scenario}: distributions of the loop's latencies", f"loop-{scenario}")


def _loop_row(count: Any, tail: Any, scenario: str, title: str, histograms: Mapping[str, Histogram]) -> None:
    above = 0
    ground = 1.0
    for colour, (name, bins) in zip(_SERIES, histograms.items(), strict=False):
        above += bins.get(float("inf"), 0)
        edges = np.asarray([edge for edge in bins if np.isfinite(edge)])
        if not len(edges):
            continue
        counts = np.asarray([bins[edge] for edge in edges])
        lower = edges - 1.0
        count.bar(
            lower,
            counts,
            1.0,
            align="edge",
            color=colour,
            alpha=0.75,
            label=name if len(histograms) > 1 else None,
        )
        # The share of cycles that took longer than each edge. Behind the last one it is 0, which has no logarithm: the
        # line falls to the ground of the drawing.
        total = sum(bins.values())
        longer = np.maximum(1.0 - np.cumsum(counts) / total, 0.0)
        ground = min(ground, 0.4 / total)
        tail.step([lower[0], *edges], [1.0, *np.maximum(longer, ground)], where="post", color=colour)
    limit = limit_of(scenario, f"{next(iter(histograms))}_us.max") if len(histograms) == 1 else None
    for axis in (count, tail):
        axis.set_yscale("log")
        axis.set_xlabel("µs")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(visible=True, alpha=0.5)
        if limit is not None:
            axis.axvline(limit, color="tab:red", linestyle="--", label=f"limit {limit:g} µs")
    count.set_ylim(bottom=0.7)
    count.set_ylabel("cycles")
    count.set_title(title + (f" ({above} above the range)" if above else ""))
    tail.set_ylim(bottom=ground)
    tail.set_ylabel("share")
    tail.set_title("share of cycles that took longer")
    if limit is not None or len(histograms) > 1:
        count.legend(loc="best")


def reaction_chart(
    scenario: str, reactions_us: Mapping[str, Sequence[float]], limits_us: Mapping[str, float]
) -> str:
    """Draw each path's reaction times with their limit."""
    return _inline(
        lambda: draw_reactions(reactions_us, limits_us),
        f"{scenario}: distributions of the reaction times",
        f"reaction-{scenario}",
    )


def timeline_chart(scenario: str, strands: Sequence[Strand]) -> str:
    """Draw each event that was caused as a row, with what the robot did afterwards, numbered as in the table."""

    def draw() -> Figure:
        figure = new_figure(_WIDTH_IN, 0.9 + 0.42 * len(strands))
        axis = figure.subplots()
        for row, strand in enumerate(strands):
            times = [moment.t_s for moment in strand.moments]
            axis.plot([times[0], times[-1]], [row, row], color="tab:blue", linewidth=1.5)
            for moment in strand.moments:
                colour = "tab:red" if moment.is_caused else "tab:blue"
                axis.plot(
                    moment.t_s,
                    row,
                    "D" if moment.is_caused else "o",
                    markersize=6,
                    color=colour,
                    zorder=4 if moment.is_caused else 3,
                )
            _number(axis, row, strand)
        axis.set_yticks(range(len(strands)), [strand.short_title for strand in strands], parse_math=False)
        axis.set_ylim(len(strands) - 0.4, -0.7)
        axis.margins(x=0.04)
        axis.set_xlabel("time of the scenario, s")
        axis.grid(visible=True, axis="x", alpha=0.5)
        return figure

    return _inline(draw, f"{scenario}: timeline of events and reactions", f"timeline-{scenario}")


def _number(axis: Any, row: int, strand: Strand) -> None:
    """Write the moments' numbers above them; those too close to be told apart share one label."""
    low, high = axis.get_xlim()
    groups: list[list[tuple[int, float]]] = []
    for moment in strand.moments:
        if groups and moment.t_s - groups[-1][-1][1] < 0.03 * (high - low):
            groups[-1].append((moment.number, moment.t_s))
        else:
            groups.append([(moment.number, moment.t_s)])
    for group in groups:
        first, last = group[0][0], group[-1][0]
        text = f"{first}" if first == last else f"{first}-{last}"
        axis.annotate(text, (group[0][1], row), (0, 6), textcoords="offset points", fontsize=8, ha="center")


def _inline(draw: Callable[[], Figure], label: str, name: str) -> str:
    """Draw, and return the <svg> element alone: nothing before it, no namespaces, no ids that nothing refers to."""
    import matplotlib as mpl

    stream = io.StringIO()
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        draw().savefig(stream, format="svg", transparent=True, metadata=nothing)
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s+xmlns(?::\w+)?="[^"]*"', "", svg)
    referred = set(re.findall(r'(?:url\(|href=")#([^)"]+)', svg))
    svg = re.sub(r'\s+id="([^"]*)"', lambda found: found[0] if found[1] in referred else "", svg)
    for drawn, shown in _COLOURS.items():
        svg = svg.replace(drawn, shown)
    # The page sets the size; `viewBox` keeps the proportions.
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", svg, count=1)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)
