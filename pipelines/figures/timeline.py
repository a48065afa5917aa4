"""What curves over time share: an axis in months, one in percent, and the numbers at risk below them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.figures.style import INK, Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LANE = 0.16  # inches of a line of numbers at risk


@dataclass(frozen=True)
class Group:
    """A curve with its name and look; `rows` by time with `t_months` and `n_at_risk`, of `n` at the start."""

    rows: Rows
    n: int
    name: str = ""
    colour: str = INK
    line: Any = None


def months(longest: float, room: int = 10) -> list[int]:
    """Whole months from 0 to beyond the longest, at most about `room` of them, in steps that people count in."""
    step = next(s for s in (1, 2, 3, 6, 12, 24, 60, 120, 240, 600) if longest / s <= room)
    return [step * i for i in range(max(1, math.ceil(longest / step)) + 1)]


def frame(axes: "Axes", longest: float, label: str, room: int = 10) -> None:
    """Axes from nobody to everybody, and from the start to the longest time."""
    ticks = months(longest, room)
    axes.set(xlim=(0, 1.005 * ticks[-1]), ylim=(0, 101), xlabel="Months", ylabel=f"{label} (%)")
    axes.set_xticks(ticks)
    axes.set_yticks(range(0, 101, 20))
    axes.set_yticks(range(10, 101, 20), minor=True)
    axes.spines["bottom"].set_bounds(0, ticks[-1])
    axes.spines["left"].set_bounds(0, 100)


def at_risk(axes: "Axes", groups: Sequence[Group], left: float) -> None:
    """Numbers at risk, each below its month; above those of a group its name beside a piece of its curve.

    `left`: where the words begin, in inches.
    """
    from matplotlib.lines import Line2D

    figure = axes.figure
    width, height = figure.get_size_inches()  # type: ignore[union-attr]
    y = axes.get_position().y0 - 0.58 / height
    figure.text(left / width, y, "No. at risk", fontsize=8, fontweight="bold")
    for group in groups:
        if group.name:
            y -= LANE / height
            piece = [left / width, (left + 0.25) / width]
            figure.add_artist(Line2D(piece, [y + 0.04 / height] * 2, color=group.colour, ls=group.line, lw=1.7))
            figure.text((left + 0.32) / width, y, group.name, fontsize=7.5)
        y -= LANE / height
        for tick in axes.get_xticks():
            later = (row["n_at_risk"] for row in group.rows if row["t_months"] >= tick)
            x = figure.transFigure.inverted().transform(axes.transData.transform((tick, 0)))[0]
            text = f"{next(later, 0) if tick else group.n:,}"
            figure.text(x, y, text, fontsize=7.5, ha="center", color=group.colour)
