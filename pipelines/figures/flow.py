"""Flow of subjects: a box a step, what was left out beside it, the endpoints at the end."""

import textwrap
from typing import TYPE_CHECKING

from pipelines.figures import style
from pipelines.figures.style import BLUE, SOFT, Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MIDDLE, BOX, HALF = 1.55, 2.7, 0.2  # inches: of the boxes, their width and half their height
BESIDE, ASIDE = 3.3, 62  # inches, and letters a line: what stands beside them
LINE = 0.145  # inches
A_ROW, COLUMN = 3, 2.1  # endpoints beside each other, inches of each


def flow(rows: Rows) -> "Figure":
    """The flow of subjects from the study codes received to each endpoint.

    Input: reports.subject_flow by step.
    """
    title = "Flow of subjects"
    if not rows:
        return style.empty(title)
    steps = [row for row in rows if not row["step"].startswith("evaluable")]
    endpoints = [row for row in rows if row["step"].startswith("evaluable")]
    aside = [_left_out(row["n_lost"], row["reason"]) for row in steps]
    depths = [0.0]  # of each step, lower where more is said beside the arrow that leads to it
    for text in [*aside[1:], *([""] if endpoints else [])]:
        depths.append(depths[-1] + max(0.72, 0.45 + LINE * (text.count("\n") + 1)))
    lines = -(-len(endpoints) // A_ROW)
    height = depths[-1] + 1.5 + LINE * max(lines, 1)
    about = f"{rows[0]['n']:,} study codes received; numbers are subjects"
    figure = style.blank(title, about, height)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, style.WIDTH), ylim=(-height + 0.95, 0.95))
    axes.axis("off")
    for i, row in enumerate(steps):
        _box(axes, MIDDLE, -depths[i], f"{row['label']}\nn = {row['n']:,}")
        if i:
            _arrow(axes, (MIDDLE, -depths[i - 1] - HALF), (MIDDLE, -depths[i] + HALF))
        if aside[i]:
            between = -(depths[i - 1] + depths[i]) / 2
            _arrow(axes, (MIDDLE, between), (BESIDE - 0.08, between))
            axes.text(BESIDE, between, aside[i], va="center", color=SOFT, fontsize=7.5, linespacing=1.3)
    if endpoints:
        _arrow(axes, (MIDDLE, -depths[-2] - HALF), (MIDDLE, -depths[-1] + HALF))
        _evaluable(axes, endpoints, -depths[-1] + HALF)
    return figure


def _evaluable(axes: "Axes", endpoints: Rows, top: float) -> None:
    """One box for all endpoints, in columns: they start from the same subjects."""
    lines = -(-len(endpoints) // A_ROW)
    left, height = MIDDLE - BOX / 2, 0.36 + 0.17 * lines
    _frame(axes, left, top - height, max(BOX, COLUMN * min(A_ROW, len(endpoints)) + 0.1), height)
    axes.text(left + 0.12, top - 0.16, "Evaluable for", va="center", fontsize=8.5)
    for i, row in enumerate(endpoints):
        x, y = left + 0.12 + COLUMN * (i % A_ROW), top - 0.36 - 0.17 * (i // A_ROW)
        axes.text(x, y, f"{row['label'].removeprefix('Evaluable for ')}: n = {row['n']:,}", va="center", fontsize=8.5)


def _box(axes: "Axes", x: float, y: float, text: str) -> None:
    _frame(axes, x - BOX / 2, y - HALF, BOX, 2 * HALF)
    axes.text(x, y, text, ha="center", va="center", fontsize=8.5, linespacing=1.25)


def _frame(axes: "Axes", left: float, bottom: float, width: float, height: float) -> None:
    from matplotlib.patches import FancyBboxPatch

    shape = "round,pad=0,rounding_size=0.06"
    axes.add_patch(FancyBboxPatch((left, bottom), width, height, boxstyle=shape, fc="white", ec=BLUE, lw=1.1))


def _arrow(axes: "Axes", start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": BLUE, "lw": 1.0, "shrinkA": 0, "shrinkB": 0}
    )


def _left_out(n_lost: int, reasons: str | None) -> str:
    """What stands beside the arrow to a step: how many did not reach it, then `reason: n` in lines that fit."""
    if not n_lost:
        return ""
    lines = [f"Left out: {n_lost:,}"]
    for reason in (reasons or "").split("; "):
        reason = "\N{NO-BREAK SPACE}".join(reason.rsplit(" ", 1))  # a count does not stand alone on a line
        lines += textwrap.wrap(reason, ASIDE, initial_indent="\N{BULLET} " if reason else "", subsequent_indent="   ")
    return "\n".join(lines)
