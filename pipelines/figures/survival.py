"""Kaplan-Meier curves with their numbers at risk."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipelines.figures import style
from pipelines.figures.style import BLUE, INK, SOFT, Rows
from pipelines.figures.words import counted, printed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY = 150  # ticks at censored times beyond which they would run together


def kaplan_meier(rows: Rows, endpoint: dict[str, Any], summary: dict[str, Any], confidence: int) -> "Figure":
    """One endpoint: curve with log-log limits, ticks at censored times, median, and the numbers at risk below.

    Input: the endpoint's rows of reports.survival_curve by time and its row of reports.pfs_summary; months.
    """
    decimals, n, median = endpoint["decimals"], summary["n"], summary["median_months"]
    limits = (
        f"{confidence}% CI {printed(summary['median_lcl'], decimals)} to {printed(summary['median_ucl'], decimals)}"
    )
    about = f"{counted(n, 'patient')}, {counted(summary['n_event'], 'event')}; " + (
        "median not reached" if median is None else f"median {printed(median, decimals)} months ({limits})"
    )
    n_censored = sum(1 for row in rows if row["n_censored"])
    notes = [f"Band: log-log {confidence}% limits."]
    if n_censored:
        notes[0] += " Ticks: censored." if n_censored <= MANY else " Censored times are too many to mark."
    figure = style.blank(endpoint["param"], about, 4.3, notes)
    axes = style.panel(figure, 0.75, 0.35, 0.7, style.foot(notes) + 0.4)
    _band(axes, rows)
    _curve(axes, rows, BLUE, "-")
    if median is not None:
        axes.plot([0, median, median], [50, 50, 0], ls=(0, (2, 2)), color=SOFT, lw=0.9)
    _frame(axes, max(row["t_months"] for row in rows), endpoint.get("axis", "Patients without the event"))
    _at_risk(axes, [("", INK, rows, n)])
    return figure


def _band(axes: "Axes", rows: Rows) -> None:
    """Limits as far as the curve has them: at 0 there are none."""
    limited = [row for row in rows if row["lcl"] is not None]
    band = [(0.0, 1.0, 1.0), *((row["t_months"], row["lcl"], row["ucl"]) for row in limited)]
    if len(limited) < len(rows):
        band.append((rows[len(limited)]["t_months"], *band[-1][1:]))
    month, lower, upper = zip(*band, strict=True)
    axes.fill_between(
        month, [100 * v for v in lower], [100 * v for v in upper], step="post", color=BLUE, alpha=0.14, lw=0
    )


def _curve(axes: "Axes", rows: Rows, colour: str, line: Any) -> None:
    axes.step(
        [0.0, *(row["t_months"] for row in rows)], [100.0, *(100 * row["survival"] for row in rows)], where="post",
        color=colour, ls=line, lw=1.7,
    )  # fmt: skip
    censored = [row for row in rows if row["n_censored"]]
    if len(censored) <= MANY:
        axes.plot(
            [row["t_months"] for row in censored], [100 * row["survival"] for row in censored], "|", color=colour, ms=7,
            mew=1.2, ls="none",
        )  # fmt: skip


def _frame(axes: "Axes", longest: float, label: str) -> None:
    ticks = style.month_ticks(longest)
    axes.set(xlim=(0, 1.005 * ticks[-1]), ylim=(0, 101), xlabel="Months", ylabel=f"{label} (%)")
    axes.set_xticks(ticks)
    axes.set_yticks(range(0, 101, 20))
    axes.spines["bottom"].set_bounds(0, ticks[-1])
    axes.spines["left"].set_bounds(0, 100)
    axes.set_yticks(range(10, 101, 20), minor=True)


def _at_risk(axes: "Axes", groups: Sequence[tuple[str, Any, Rows, int]]) -> None:
    """Numbers at risk, each below its month; one line a group."""
    figure = axes.figure
    height = figure.get_figheight()  # type: ignore[union-attr]
    bottom = axes.get_position().y0
    figure.text(0.1 / style.WIDTH, bottom - 0.58 / height, "No. at risk", fontsize=8, fontweight="bold")
    for line, (name, colour, rows, n) in enumerate(groups):
        y = bottom - (0.76 + 0.16 * line) / height
        figure.text(0.1 / style.WIDTH, y, name, fontsize=8, color=colour)
        for tick in axes.get_xticks():
            at_risk = next((row["n_at_risk"] for row in rows if row["t_months"] >= tick), 0) if tick else n
            x = figure.transFigure.inverted().transform(axes.transData.transform((tick, 0)))[0]
            figure.text(x, y, f"{at_risk:,}", fontsize=8, ha="center", color=colour)
