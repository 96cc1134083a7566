"""Plots of the bench, PNG to look at and SVG to keep. matplotlib is a development dependency, never on a robot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 120
_FORMATS = ("png", "svg")


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty figure that belongs to no display."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


def _save(figure: Figure, base: Path) -> list[Path]:
    base.parent.mkdir(parents=True, exist_ok=True)
    files = [base.with_suffix(f".{kind}") for kind in _FORMATS]
    for file in files:
        figure.savefig(file, dpi=_DPI)
    return files


def plot_reactions(
    reactions_us: Mapping[str, Sequence[float]], limits_us: Mapping[str, float], directory: Path
) -> list[Path]:
    """Write the drawing of `draw_reactions` into a folder; returns the files."""
    return _save(draw_reactions(reactions_us, limits_us), directory / "reaction")


def draw_reactions(reactions_us: Mapping[str, Sequence[float]], limits_us: Mapping[str, float]) -> Figure:
    """Draw the distribution of each path's reaction time with its limit.

    Left of each row: how many trials took how long. Right: the share of trials that took longer, on a logarithmic axis,
    where a single slow trial in a thousand can be seen.
    """
    figure = new_figure(9.0, 2.8 * len(reactions_us))
    axes = figure.subplots(len(reactions_us), 2, squeeze=False)
    for (name, samples), (count, tail) in zip(reactions_us.items(), axes, strict=True):
        _reaction_row(count, tail, name, np.sort(np.asarray(samples)) / 1000.0, limits_us[name] / 1000.0)
    return figure


def _reaction_row(count: Any, tail: Any, name: str, sorted_ms: Any, limit_ms: float) -> None:
    # Over the whole axis: bins of the samples' own narrow range would be bars too thin to be seen.
    count.hist(
        sorted_ms, bins=np.linspace(0.0, 1.05 * max(limit_ms, float(sorted_ms[-1])), 120), color="tab:blue"
    )
    count.set_title(f"{name}: {len(sorted_ms)} trials, max {sorted_ms[-1]:.3f} ms", parse_math=False)
    count.set_ylabel("trials")
    longer = 1.0 - np.arange(len(sorted_ms)) / len(sorted_ms)
    tail.step(sorted_ms, longer, where="post", color="tab:blue")
    tail.set_yscale("log")
    tail.set_title("share of trials that took longer")
    for axis in (count, tail):
        axis.axvline(limit_ms, color="tab:red", linestyle="--", label=f"limit {limit_ms:g} ms")
        axis.set_xlabel("reaction at the drives, ms")
        axis.set_xlim(left=0.0)
        axis.grid(visible=True, alpha=0.3)
    tail.legend()


def plot_ticks(tick: Mapping[str, Any], base: Path) -> list[Path]:
    """Draw a tick natively, in the sandbox and through the Python binding; returns the files."""
    kinds = {"native": "native C++", "cpp": "WebAssembly, Holdfast", "python": "WebAssembly, Python binding"}
    quantiles = ("p50", "p99", "p99_9", "max")
    figure = new_figure(7.5, 4.0)
    axis = figure.subplots()
    width = 0.8 / len(quantiles)
    for number, quantile in enumerate(quantiles):
        places = np.arange(len(kinds)) + (number - 1.5) * width
        heights = [tick[f"{kind}_ns_{quantile}"] for kind in kinds]
        bars = axis.bar(places, heights, width, label=quantile.replace("_", "."))
        axis.bar_label(bars, [_duration(height) for height in heights], fontsize=7, padding=2)
    axis.set_yscale("log")
    axis.set_xticks(range(len(kinds)), list(kinds.values()))
    axis.set_ylabel("one tick, ns")
    axis.set_title(
        f"Controller tick: {tick['channels']} channels read and written; ratio of p50 {tick['ratio']:g}"
    )
    axis.margins(y=0.12)
    axis.grid(visible=True, axis="y", alpha=0.3)
    axis.legend()
    return _save(figure, base)


def plot_cycles(channels: Mapping[str, Mapping[str, Any]], base: Path) -> list[Path]:
    """Draw what one Tier-1 cycle costs for each number of channels; returns the files."""
    counts = sorted(map(int, channels))
    figure = new_figure(7.5, 4.0)
    axis = figure.subplots()
    for quantile, style in (("p50", "o-"), ("p99", "s-"), ("p99_9", "^:")):
        costs_us = [channels[str(count)][f"ns_{quantile}"] / 1000.0 for count in counts]
        axis.plot(counts, costs_us, style, label=quantile.replace("_", "."))
        for count, cost in zip(counts, costs_us, strict=True):
            axis.annotate(f"{cost:.1f}", (count, cost), (0, 5), textcoords="offset points", fontsize=7)
    axis.set_xticks(counts)
    axis.set_xlabel("channels, each with a drive on a unix: link")
    axis.set_ylabel("one cycle, µs")
    axis.set_ylim(bottom=0.0)
    axis.set_title("Tier-1 cycle: read, decide, filter, send, publish")
    axis.grid(visible=True, alpha=0.3)
    axis.legend()
    return _save(figure, base)


def _duration(ns: float) -> str:
    for unit, size in (("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns:.0f} ns"
