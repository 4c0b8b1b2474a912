"""Charts as inline SVG, with the colours of the page's theme, light or dark."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray

from kaggle_dsb.competition.metric import THRESHOLDS_PERCENT
from kaggle_dsb.report.outcomes import OUTCOMES

WIDTH, HEIGHT = 420, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 14, 12, 40
_TICK_STEPS = [digit * 10**power for power in range(8) for digit in (1, 2, 5)]
_DASHES = {"all": "", "fluorescence": "6 3", "tissue": "2 3", "brightfield": "9 3 2 3"}


@dataclass(frozen=True)
class _Axis:
    """A linear scale from values to positions in the chart."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1)
        return round(self.start + share * (self.end - self.start), 1)


def _axes(
    x: tuple[float, float], y: tuple[float, float], *, right: int = _RIGHT
) -> tuple[_Axis, _Axis]:
    return _Axis(*x, _LEFT, WIDTH - right), _Axis(*y, HEIGHT - _BOTTOM, _TOP)


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "middle") -> str:
    return f'<text x="{x}" y="{y}" class="{style}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" class="{style}"/>'


def _grid(y: _Axis, values: Sequence[float], form: str) -> list[str]:
    marks = []
    for value in values:
        marks.append(_line(_LEFT, y(value), WIDTH - _RIGHT, y(value), "grid"))
        marks.append(_text(_LEFT - 6, y(value) + 4, format(value, form), "tick", "end"))
    return marks


def _svg(parts: Sequence[str], label: str, height: int = HEIGHT) -> Markup:
    return Markup(
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )


def chart_thresholds(curves: Mapping[str, Sequence[float]]) -> Markup:
    """Plot mean precision against IoU threshold, one line per image type and one for all."""
    x, y = _axes((50, 95), (0, 1), right=92)
    parts = _grid(y, (0, 0.25, 0.5, 0.75, 1), ".2f")
    for percent in THRESHOLDS_PERCENT[::3]:
        parts.append(_text(x(percent), HEIGHT - 22, f"{percent / 100:.2f}", "tick"))
    parts.append(_text((_LEFT + WIDTH - 92) / 2, HEIGHT - 6, "IoU threshold", "axis"))
    ends = _spread_out([y(values[-1]) for values in curves.values()], 13)
    for (name, values), end in zip(curves.items(), ends, strict=True):
        points = " ".join(f"{x(t)},{y(v)}" for t, v in zip(THRESHOLDS_PERCENT, values, strict=True))
        colour = f'style="stroke:var(--{name})" stroke-dasharray="{_DASHES.get(name, "")}"'
        parts.append(f'<polyline points="{points}" class="curve" {colour}/>')
        parts.append(_text(x(95) + 6, end + 4, name, f"name {name}", "start"))
    listed = "; ".join(f"{name} from {v[0]:.2f} to {v[-1]:.2f}" for name, v in curves.items())
    return _svg(parts, f"Mean precision from threshold 0.50 to 0.95: {listed}")


def _spread_out(places: Sequence[float], gap: float) -> list[float]:
    """Move positions apart until neighbours are at least ``gap`` apart."""
    order = np.argsort(places)
    moved = np.array(places, dtype=float)
    for above, below in pairwise(order):
        moved[below] = max(moved[below], moved[above] + gap)
    overflow = max(0.0, float(moved.max(initial=0)) - (HEIGHT - _BOTTOM))
    return [float(round(place - overflow, 1)) for place in moved]


def chart_groups(table: pd.DataFrame, noun: str) -> Markup:
    """Plot the mean score of each group with its 95 % interval.

    Parameters
    ----------
    table : DataFrame
        As returned by `kaggle_dsb.report.scores.summarise_groups`.
    noun : str
        Kind of group: ``fold`` or ``type``.
    """
    step, top = min(58, max(36, (HEIGHT - 60) // len(table))), 28
    height = max(HEIGHT, top + step * len(table) + 30)
    x = _Axis(0, 1, 132, WIDTH - 24)
    parts = []
    for value in (0, 0.25, 0.5, 0.75, 1):
        parts.append(_line(x(value), 8, x(value), height - 28, "grid"))
        parts.append(_text(x(value), height - 12, f"{value:.2f}", "tick"))
    for number, (name, row) in enumerate(table.iterrows()):
        at = top + step * number
        shown = f"fold {name}" if noun == "fold" else str(name)
        colour = f"var(--{name}, var(--accent))"
        parts.append(_text(124, at + 1, shown, "name", "end"))
        parts.append(_text(124, at + 14, f"{row['images']:.0f} images", "tick", "end"))
        parts.append(_line(x(row["low"]), at + 4, x(row["high"]), at + 4, "whisker"))
        parts.append(f'<circle cx="{x(row["score"])}" cy="{at + 4}" r="5" style="fill:{colour}"/>')
        parts.append(_text(x(row["score"]), at - 6, f"{row['score']:.3f}", "value"))
    listed = "; ".join(
        f"{name} {row['score']:.3f} ({row['low']:.3f} to {row['high']:.3f})"
        for name, row in table.iterrows()
    )
    return _svg(parts, f"Mean score by {noun}, with 95 % confidence interval: {listed}", height)


def chart_scores(scores: NDArray[np.float64]) -> Markup:
    """Plot a histogram of the image scores, in bins of 0.05."""
    counts, edges = np.histogram(scores, bins=20, range=(0, 1))
    x, y = _axes((0, 1), (0, max(int(counts.max()), 1)))
    parts = _grid(y, _round_steps(int(counts.max())), ".0f")
    for count, left in zip(counts.tolist(), edges, strict=False):
        size = f'width="{x(0.05) - x(0) - 1.5:.1f}" height="{y(0) - y(count):.1f}"'
        title = f"<title>{left:.2f} to {left + 0.05:.2f}: {count} images</title>"
        parts.append(f'<rect x="{x(left)}" y="{y(count)}" {size} class="bar">{title}</rect>')
    for value in (0, 0.25, 0.5, 0.75, 1):
        parts.append(_text(x(value), HEIGHT - 22, f"{value:.2f}", "tick"))
    parts.append(_text(WIDTH / 2, HEIGHT - 6, "score of an image", "axis"))
    middle = float(np.median(scores))
    parts.append(_line(x(middle), _TOP, x(middle), y(0), "median"))
    near, anchor = (_LEFT + 8, "start") if middle > 0.5 else (WIDTH - _RIGHT - 4, "end")
    parts.append(_text(near, _TOP + 12, f"median {middle:.3f}", "value", anchor))
    return _svg(parts, f"Scores of {len(scores)} images; half are below {middle:.2f}")


def _round_steps(highest: int) -> list[float]:
    step = next(s for s in _TICK_STEPS if highest <= 5 * s)
    return list(range(0, highest + 1, step))


def chart_sizes(areas_px: Mapping[str, NDArray[np.int64]]) -> Markup:
    """Plot the size distribution of nuclei, log scale, one line per group (true, predicted)."""
    everything = np.concatenate(list(areas_px.values()))
    if not everything.size:
        return Markup("<p>No nucleus.</p>")
    edges = np.geomspace(max(everything.min(), 1), max(everything.max(), 2) + 1, 25)
    counts = {name: np.histogram(areas, edges)[0] for name, areas in areas_px.items()}
    highest = max(1, *(int(count.max()) for count in counts.values()))
    x, y = _axes((np.log10(edges[0]), np.log10(edges[-1])), (0, highest))
    parts = _grid(y, _round_steps(highest), ".0f")
    for power in range(7):
        if x.low <= power <= x.high:
            parts.append(_text(x(power), HEIGHT - 22, f"{10**power:,}", "tick"))
    for number, (name, count) in enumerate(counts.items()):
        points = " ".join(
            f"{x(np.log10(a))},{y(n)} {x(np.log10(b))},{y(n)}"
            for (a, b), n in zip(pairwise(edges), count.tolist(), strict=True)
        )
        dash = "5 3" if name == "true" else ""
        parts.append(
            f'<polyline points="{points}" class="curve {name}" stroke-dasharray="{dash}"/>'
        )
        parts.append(
            _text(WIDTH - _RIGHT - 4, _TOP + 12 + 15 * number, name, f"name {name}", "end")
        )
    parts.append(_text(WIDTH / 2, HEIGHT - 6, "area of a nucleus, px", "axis"))
    listed = "; ".join(
        f"{name}: {len(a)} nuclei, median {np.median(a) if len(a) else 0:.0f} px"
        for name, a in areas_px.items()
    )
    return _svg(parts, f"Areas of nuclei: {listed}")


def chart_outcomes(table: pd.DataFrame) -> Markup:
    """Plot the outcomes of nuclei as stacked bars, one per image type and one for all.

    Parameters
    ----------
    table : DataFrame
        One row per bar, with a column for each of `kaggle_dsb.report.outcomes.OUTCOMES`.
    """
    step, top = 44, 20
    height = top + step * len(table)
    parts = []
    for number, (name, row) in enumerate(table.iterrows()):
        at, left, total = top + step * number, 0.0, max(int(row.sum()), 1)
        parts.append(
            _text(0, at - 4, f"{name}: {row.sum() - row['invented']:,} true", "name", "start")
        )
        for outcome in OUTCOMES:
            share = row[outcome] / total
            title = f"<title>{outcome}: {row[outcome]:,}</title>"
            size = f'width="{max(WIDTH * share - 1, 0):.1f}" height="18"'
            colour = f'style="fill:var(--{outcome})"'
            parts.append(f'<rect x="{WIDTH * left:.1f}" y="{at}" {size} {colour}>{title}</rect>')
            if share > 0.07:
                place = WIDTH * (left + share / 2)
                parts.append(_text(place, at + 13, f"{row[outcome]:,}", "inbar"))
            left += share
    listed = "; ".join(
        f"{name}: " + ", ".join(f"{row[outcome]} {outcome}" for outcome in OUTCOMES)
        for name, row in table.iterrows()
    )
    return _svg(parts, f"Nuclei by outcome. {listed}", height)
