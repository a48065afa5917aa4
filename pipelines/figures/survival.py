"""Kaplan-Meier curves with their numbers at risk, of everybody and by group."""

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pipelines.figures import style, timeline
from pipelines.figures.style import BLUE, SOFT, Rows
from pipelines.figures.timeline import Group
from pipelines.figures.words import counted, p_value, printed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

UNITS = {"subject": "patient", "lesion": "lesion"}
MANY = 150  # ticks at censored times beyond which they would run together
TALL, WIDE = 2.75, 3.5  # inches of a panel without its numbers at risk


def kaplan_meier(rows: Rows, endpoint: dict[str, Any], summary: dict[str, Any], confidence: int) -> "Figure":
    """One endpoint: curve with log-log limits, ticks at censored times, median, and the numbers at risk below.

    Input: the endpoint's rows of reports.survival_curve by time and its row of reports.survival_summary; months.
    """
    unit = UNITS[summary["counted"]]
    lower, median, upper = (summary[f"median_{name}"] for name in ("lcl", "months", "ucl"))
    text = "median not reached"
    if median is not None:
        low, middle, high = (printed(value, endpoint["decimals"]) for value in (lower, median, upper))
        # one event for all: no limits, rather than limits that nobody has reached yet
        limits = "not estimable" if lower is None and upper is None else f"{low} to {high}"
        text = f"median {middle} months ({confidence}% CI {limits})"
    about = f"{counted(summary['n'], unit)}, {counted(summary['n_event'], 'event')}; {text}"
    has_band = any(row["lcl"] is not None and row["lcl"] < row["ucl"] for row in rows)
    notes = [f"Band: log-log {confidence}% limits. {_ticks([rows])}" if has_band else _ticks([rows])]
    figure = style.blank(endpoint["param"], about, 4.3, notes)
    axes = style.panel(figure, 0.75, 0.35, 0.7, style.foot(notes) + 0.4)
    _band(axes, rows)
    _curve(axes, Group(rows, summary["n"], colour=BLUE, line="-"))
    if median is not None:
        axes.plot([0, median, median], [50, 50, 0], ls=(0, (2, 2)), color=SOFT, lw=0.9)
    timeline.frame(axes, max(row["t_months"] for row in rows), _axis(endpoint, unit))
    timeline.at_risk(axes, [Group(rows, summary["n"])], 0.1)
    return figure


def by_group(rows: Rows, endpoint: dict[str, Any]) -> "Figure":
    """One endpoint by every declared grouping, a panel each: curves, log-rank test, and the numbers at risk by group.

    Input: the endpoint's rows of reports.survival_curve_by_group in the order of groupings, groups and times, each with
    `grouping_label`, `group_label`, `n`, `counted` and `logrank_p`; months.
    """
    unit = UNITS[rows[0]["counted"]]
    panels = [_groups(list(part)) for _, part in groupby(rows, key=lambda row: row["grouping"])]
    curves = [group.rows for groups in panels for group in groups]
    pairs = [panels[i : i + 2] for i in range(0, len(panels), 2)]
    below = [2 * timeline.LANE * max(len(groups) for groups in pair) for pair in pairs]  # name and numbers
    notes = [f"Log-rank tests between the groups of a panel, not corrected for their number. {_ticks(curves)}"]
    rest = style.foot(notes) - 0.4
    height = 0.6 + sum(TALL + lanes for lanes in below) + rest
    about = f"By what was known at the start; {unit}s without an entry are left out"
    figure = style.blank(f"{endpoint['param']}, by group", about, height, notes)
    top = 0.6
    for pair, lanes in zip(pairs, below, strict=True):
        for column, groups in enumerate(pair):
            left = 0.1 + WIDE * column
            axes = style.panel(
                figure, left + 0.65, style.WIDTH - left - WIDE + 0.35, top + 0.45, height - top - TALL + 0.65
            )
            _compare(axes, groups, _axis(endpoint, unit), left)
        top += TALL + lanes
    return figure


def _groups(rows: Rows) -> list[Group]:
    """The groups of one grouping, each with a colour and a line of its own."""
    groups = [list(part) for _, part in groupby(rows, key=lambda row: row["group_key"])]
    looks = [style.GROUPS[place % len(style.GROUPS)] for place in range(len(groups))]
    return [Group(part, part[0]["n"], part[0]["group_label"], *look) for part, look in zip(groups, looks, strict=True)]


def _compare(axes: "Axes", groups: Sequence[Group], label: str, left: float) -> None:
    """The groups of one grouping in one panel, whose texts start so many inches from the left."""
    first = groups[0].rows[0]
    width, height = axes.figure.get_size_inches()  # type: ignore[union-attr]
    top = axes.get_position().y1
    axes.figure.text(left / width, top + 0.27 / height, first["grouping_label"], fontsize=8.5, fontweight="bold")
    test = "Nothing to compare" if first["logrank_p"] is None else f"Log-rank {p_value(first['logrank_p'])}"
    axes.figure.text(left / width, top + 0.12 / height, test, fontsize=8, color=SOFT)
    for group in groups:
        _curve(axes, group)
    timeline.frame(axes, max(row["t_months"] for group in groups for row in group.rows), label, 4)
    axes.yaxis.label.set_fontsize(8)
    timeline.at_risk(axes, groups, left)


def _axis(endpoint: dict[str, Any], unit: str) -> str:
    return str(endpoint.get("axis", f"{unit.capitalize()}s without the event"))


def _ticks(curves: Sequence[Rows]) -> str:
    """What is said of those who were censored, of the curves of one figure."""
    marked = {len(times) <= MANY for rows in curves if (times := [1 for row in rows if row["n_censored"]])}
    few, many = "Ticks: censored", "censored times are too many to mark"
    if marked == {True, False}:
        return f"{few}; of curves without them {many}."
    return f"{few}." if marked == {True} else f"{many.capitalize()}." if marked else ""


def _band(axes: "Axes", rows: Rows) -> None:
    """Limits as far as the curve has them: at 0 there are none."""
    limited = [row for row in rows if row["lcl"] is not None]
    band = [(0.0, 1.0, 1.0), *((row["t_months"], row["lcl"], row["ucl"]) for row in limited)]
    if len(limited) < len(rows):
        band.append((rows[len(limited)]["t_months"], *band[-1][1:]))
    month, lower, upper = zip(*band, strict=True)
    low, high = [100 * v for v in lower], [100 * v for v in upper]
    axes.fill_between(month, low, high, step="post", color=BLUE, alpha=0.14, lw=0)


def _curve(axes: "Axes", group: Group) -> None:
    times = [0.0, *(row["t_months"] for row in group.rows)]
    free = [100.0, *(100 * row["survival"] for row in group.rows)]
    axes.step(times, free, where="post", color=group.colour, ls=group.line, lw=1.7)
    censored = [row for row in group.rows if row["n_censored"]]
    if len(censored) <= MANY:
        times, free = [row["t_months"] for row in censored], [100 * row["survival"] for row in censored]
        axes.plot(times, free, "|", color=group.colour, ms=7, mew=1.2)
