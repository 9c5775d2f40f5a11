"""Draws figures as SVG for an HTML page: text stays text, in the page's font and any script.

Each function returns an <svg> element. Margins are computed, not measured: this machine's fonts may lack a label's
letters, and the reader's browser uses another font anyway.
"""

import functools
import io
import re
import unicodedata
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, ParamSpec

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from aisle.reports.pages import clip

Array = npt.NDArray[Any]

WIDTH = 7.2  # inches, of every figure
FONT_SIZE = 8.5  # points
POINTS = 72  # an inch
LONGEST_LABEL = 36  # characters
INK, FAINT, MAIN, OTHER, WRONG = "#20242a", "#d9dde2", "#2f5d8a", "#a9b7c6", "#c4582f"
# Okabe and Ito's colours, distinct in any colour vision, and two more.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#b8a800", "#6a4c93", "#8c564b")
BINS = 15  # of confidence, as in the calibration error

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # $ is a dollar sign, not a formula
    "font.size": FONT_SIZE,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#8a9099",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}


P = ParamSpec("P")


def _drawn(draw: Callable[P, Figure]) -> Callable[P, str]:
    """Make a function that returns a figure return its SVG, in our style."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> str:
        with mpl.rc_context(STYLE), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")  # the browser's fonts have the glyph
            return _svg(draw(*args, **kwargs))

    return drawn


@_drawn
def reliability(confidence: Array, correct: Array) -> Figure:
    """Draw accuracy and number of answers by confidence; both arguments are (rows,)."""
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    filled = np.unique(place)
    right = [float(correct[place == b].mean()) for b in filled]
    sure = [float(confidence[place == b].mean()) for b in filled]
    figure, (left, histogram) = _axes(3.0, columns=2)
    left.plot([0, 1], [0, 1], color="#8a9099", linewidth=0.8, linestyle=(0, (4, 3)))
    left.bar((filled + 0.5) / BINS, right, width=0.9 / BINS, color=OTHER)
    left.plot(sure, right, "o-", color=MAIN, markersize=3.5, linewidth=1.2)
    left.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="share that is right")
    edges = np.linspace(0, 1, BINS + 1)
    histogram.hist(
        [confidence[correct], confidence[~correct]], edges, stacked=True, color=[MAIN, WRONG], label=["right", "wrong"],
        rwidth=0.9,
    )  # fmt: skip
    histogram.set(xlim=(0, 1), xlabel="confidence", ylabel="held-out rows")
    histogram.legend(loc="upper left")
    figure.subplots_adjust(left=0.09, right=0.98, top=0.97, bottom=0.16, wspace=0.28)
    return figure


@_drawn
def bars(
    labels: Sequence[str], values: Sequence[float], *, notes: Sequence[str] = (), ours: Sequence[str] = ()
) -> Figure:
    """Draw a bar for each label, with its value and note; those of `ours` stand out (by default all)."""
    figure, axes = _rows(labels, bottom=0.05)
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    colours = [MAIN if not ours or label in ours else OTHER for label in labels]
    axes.barh(range(len(labels)), values, height=0.66, color=colours)
    most = max([*values, 1e-9])
    for place, value in enumerate(values):
        note = f"  {notes[place]}" if notes else ""
        axes.text(value + 0.01 * most, place, f"{value:.3f}{note}", va="center")
    axes.set_xlim(0, 1.25 * most)
    return figure


@_drawn
def intervals(labels: Sequence[str], means: Sequence[float], sds: Sequence[float | None], axis: str) -> Figure:
    """Draw the mean of each label, with a standard deviation on either side."""
    figure, axes = _rows(labels, bottom=0.45)
    spread = [sd or 0.0 for sd in sds]
    axes.errorbar(means, np.arange(len(labels)), xerr=spread, fmt="o", color=MAIN, markersize=5, capsize=3, linewidth=1)
    axes.axvline(means[0], color="#8a9099", linewidth=0.8, linestyle=(0, (4, 3)))
    axes.margins(x=0.15)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.grid(axis="x")
    axes.set_xlabel(axis)
    return figure


@_drawn
def confusion(labels: Sequence[str], counts: Array) -> Figure:
    """Draw the confusion matrix, `counts`: rows by category (down) and answer (across), (categories, categories)."""
    size = len(labels)
    numbered = [f"{_label(label)}  {number}" for number, label in enumerate(labels, 1)]
    figure = Figure(figsize=(WIDTH, 0.55 + 0.28 * size))
    axes = figure.add_subplot()
    wrong = np.where(np.eye(size, dtype=bool) | (counts == 0), np.nan, counts)
    # Dark cells get white numbers.
    axes.pcolormesh(wrong, cmap="Oranges", norm=Normalize(0, 2 * np.nanmax(wrong)), edgecolors=FAINT, linewidth=0.5)
    for row, column in zip(*np.nonzero(counts), strict=True):
        is_right = row == column
        axes.text(
            column + 0.5, row + 0.5, f"{counts[row, column]:,}", ha="center", va="center",
            color="#8a9099" if is_right else INK,
        )  # fmt: skip
    _grid(axes, [str(number) for number in range(1, size + 1)], numbered)
    _place(figure, numbered, top=0.5, bottom=0.05)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("answer")
    return figure


@_drawn
def heat_map(columns: Sequence[str], rows: Sequence[str], values: Array, across: str, down: str) -> Figure:
    """Draw a value for each pair of settings, (rows, columns); NaN stays empty, the best has a frame."""
    figure = Figure(figsize=(WIDTH, 0.75 + 0.32 * len(rows)))
    axes = figure.add_subplot()
    axes.pcolormesh(values, cmap="Blues", norm=Normalize(*_stretched(values)))
    low, high = np.nanmin(values), np.nanmax(values)
    best = np.unravel_index(np.nanargmax(values), values.shape)
    for row, column in np.argwhere(~np.isnan(values)):
        value = values[row, column]
        is_dark = high > low and (value - low) / (high - low) > 0.5
        axes.text(
            column + 0.5, row + 0.5, f"{value:.3f}", ha="center", va="center", color="white" if is_dark else INK,
            weight="bold" if (row, column) == best else "normal",
        )  # fmt: skip
    _grid(axes, columns, rows)
    _place(figure, rows, top=0.1, bottom=0.55, extra=0.25)
    axes.set(xlabel=across, ylabel=down)
    return figure


@_drawn
def scatter(points: Array, groups: Mapping[str, Array], axes_labels: tuple[str, str]) -> Figure:
    """Draw points, (n, 2), in a colour for each group; a group is a mask, (n,), and the last is grey."""
    figure = Figure(figsize=(WIDTH, 4.4))
    axes = figure.add_subplot()
    names = list(groups)
    for number, name in enumerate(names):
        mine = points[groups[name]]
        is_last = number == len(names) - 1 and len(names) > 1
        colour = "#b5bbc3" if is_last else COLOURS[number % len(COLOURS)]
        axes.scatter(
            mine[:, 0],
            mine[:, 1],
            s=7,
            color=colour,
            linewidths=0,
            alpha=0.75,
            label=_label(name),
            zorder=1 + (not is_last),
        )
    axes.set(xlabel=axes_labels[0], ylabel=axes_labels[1])
    axes.tick_params(labelbottom=False, labelleft=False, length=0)
    right = 1 - (_width(names) + 0.5) / WIDTH
    figure.subplots_adjust(left=0.05, right=max(right, 0.5), top=0.98, bottom=0.08)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), markerscale=2, handletextpad=0.3)
    return figure


@_drawn
def curve(x: Sequence[float], y: Sequence[float], across: str, down: str, *, chosen: float | None = None) -> Figure:
    """Draw a line, and mark the chosen epoch."""
    figure, axes = _axes(2.4)
    axes.plot(x, y, "o-", color=MAIN, markersize=3.5, linewidth=1.2)
    if chosen is not None:
        axes.axvline(chosen, color=WRONG, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set(xlabel=across, ylabel=down)
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


@_drawn
def percentiles(
    times: Sequence[datetime], lines: Mapping[str, Sequence[float]], rows: Sequence[int], step: timedelta
) -> Figure:
    """Draw seconds over time, a line for each percentile, above the rows of each step."""
    figure, (seconds, embedded) = _axes(3.4, rows=2)
    for colour, (name, values) in zip((OTHER, MAIN, WRONG), lines.items(), strict=True):
        seconds.plot(times, values, "o-", color=colour, markersize=2.5, linewidth=1.2, label=name)
    if min(map(min, lines.values())) > 0:
        seconds.set_yscale("log")
        seconds.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        seconds.yaxis.set_minor_locator(NullLocator())
        seconds.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    seconds.set_ylabel("seconds")
    seconds.grid(axis="y")
    seconds.legend(loc="lower left", ncols=len(lines), bbox_to_anchor=(0, 1))
    seconds.tick_params(labelbottom=False)
    embedded.bar(times, rows, width=0.9 * step, color=OTHER)
    embedded.set_ylabel("rows")
    margin = max(step, (times[-1] - times[0]) / 50)
    for axes in (seconds, embedded):
        locator = AutoDateLocator(maxticks=8, tz=times[0].tzinfo)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=times[0].tzinfo))  # type: ignore[no-untyped-call]
        axes.set_xlim(times[0] - margin, times[-1] + margin)
        axes.yaxis.set_label_coords(-0.065, 0.5)
    figure.subplots_adjust(left=0.09, right=0.98, top=0.91, bottom=0.12, hspace=0.15)
    return figure


def _axes(height: float, *, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    """Return a figure of the usual width with its axes; of two rows, the upper is the higher."""
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.subplots(rows, columns, height_ratios=[2, 1] if rows == 2 else None)
    figure.subplots_adjust(left=0.09, right=0.98, top=0.97, bottom=0.2)
    return figure, axes


def _rows(labels: Sequence[str], bottom: float) -> tuple[Figure, Axes]:
    """Return a figure with a row for each label, the first on top, and a margin of `bottom` inches."""
    figure = Figure(figsize=(WIDTH, 0.05 + 0.22 * len(labels) + bottom))
    axes = figure.add_subplot()
    axes.set_yticks(range(len(labels)), list(map(_label, labels)))
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    _place(figure, labels, top=0.05, bottom=bottom)
    return figure, axes


def _grid(axes: Axes, columns: Sequence[str], rows: Sequence[str]) -> None:
    """Put labels at the middle of cells, the first row on top."""
    axes.set_xticks(np.arange(len(columns)) + 0.5, list(columns))
    axes.set_yticks(np.arange(len(rows)) + 0.5, list(rows))
    axes.invert_yaxis()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _place(figure: Figure, labels: Sequence[str], *, top: float, bottom: float, extra: float = 0) -> None:
    """Set the margins above and below, in inches, and the left one by the labels."""
    height = float(figure.get_figheight())
    figure.subplots_adjust(
        left=(_width(labels) + 0.15 + extra) / WIDTH, right=0.97, top=1 - top / height, bottom=bottom / height
    )


def _label(text: str) -> str:
    """Return a label that fits beside a figure: of a long path, the end, which says most."""
    text = clip(text, 2000)
    return text if len(text) <= LONGEST_LABEL else f"…{text[1 - LONGEST_LABEL :]}"


def _width(labels: Sequence[str]) -> float:
    """Return the estimated width of the widest label, in inches; a Hangul syllable is as wide as it is high."""
    return max(
        sum(1.0 if unicodedata.east_asian_width(letter) in "WF" else 0.58 for letter in _label(label))
        for label in labels
    ) * FONT_SIZE / POINTS  # fmt: skip


def _stretched(values: Array) -> tuple[float, float]:
    """Return bounds of the colour scale that keep all values distinct, and none white."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return low - 0.25 * (high - low) - 1e-9, high + 1e-9


def _svg(figure: Figure) -> str:
    """Return the figure as an <svg> element without the header of a file."""
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type"))
    )
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    used = set(re.findall(r"#([\w.-]+)", text))
    # Unused ids are the same in each figure, and a page must not repeat ids.
    return re.sub(r' id="([\w.-]+)"', lambda match: match[0] if match[1] in used else "", text).strip()
