"""Waterfall and spider: how the tumours' sizes changed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.figures import style, timeline
from pipelines.figures.style import HATCHED, INK, RESPONSES, SOFT, Rows
from pipelines.figures.words import counted, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERED = 50  # bars; more of them are narrower than the number over one that is cut
CEILING = 100  # % of growth beyond which bars and lines are cut, so that responses keep their room


@dataclass(frozen=True)
class Series:
    """What is measured, and since when; the words of its two figures."""

    unit: str
    best: str
    course: str
    start: str
    window: str


SERIES = {
    "first_line": Series(
        "patient", "Best change in the sum of target diameters on the first line",
        "Change in the sum of target diameters over time on the first line", "first dose",
        "From baseline to the first progression, before new systemic therapy; complete sums only.",
    ),
    "irradiated": Series(
        "irradiated lesion", "Best change in the diameter of irradiated lesions",
        "Change in the diameter of irradiated lesions over time", "first fraction",
        "From the last scan before the first fraction to the lesion's first progression, before new systemic therapy.",
    ),
}  # fmt: skip


def waterfall(rows: Rows, series: str) -> "Figure":
    """Best change of each subject or lesion as a bar, the largest growth first, coloured by its best response.

    Input: the rows of reports.waterfall of one series by rank; %.
    """
    words = SERIES[series]
    if not rows:
        return style.empty(words.best)
    notes = [words.window, *_limits(len(rows), rows, "best_pct")]
    figure = style.blank(words.best, _measured(rows, words), 4.0, notes)
    axes = style.panel(figure, 0.75, 0.55, 0.85, style.foot(notes) - 0.3)
    for place, row in enumerate(rows):
        height = min(row["best_pct"], CEILING)
        code = row["response"]
        # no change was measured too: a sliver, where nothing would look like a gap
        bottom, tall = (0.0, height) if height else (-0.6, 1.2)
        axes.bar(
            place,
            tall,
            bottom=bottom,
            width=0.82,
            color=RESPONSES[code],
            edgecolor=SOFT,
            lw=0.4,
            hatch=HATCHED.get(code),
        )
        if row["best_pct"] > CEILING and len(rows) <= NUMBERED:
            axes.annotate(signed(row["best_pct"]), (place, height), (0, 2), textcoords="offset points", ha="center",
                          fontsize=6.5, rotation=90)  # fmt: skip
    top = max([_bounds()[1] + 5, *(min(row["best_pct"], CEILING) for row in rows)])
    room = 16 if any(row["best_pct"] > CEILING for row in rows) else 4
    axes.set(xlim=(-0.8, len(rows) - 0.2), ylim=(-102, top + room), xticks=[])
    axes.spines["bottom"].set_visible(False)
    axes.axhline(0, color=INK, lw=0.8)
    _scale(axes, "Best change from baseline (%)")
    style.legend(figure, style.response_keys(rows, len(rows) == rows[0]["n_measured"]))
    return figure


def spider(rows: Rows, series: str) -> "Figure":
    """Change of each subject or lesion over time as a line, coloured by its best response.

    Input: the rows of reports.spider of one series by rank and date; %, months.
    """
    words = SERIES[series]
    if not rows:
        return style.empty(words.course)
    courses: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        courses.setdefault(row["rank_no"], []).append(row)
    best = [course[0] for course in courses.values()]
    notes = [
        f"{words.window} Baseline is drawn at month 0.",
        *_limits(len(best), rows, "change_pct"),
    ]
    figure = style.blank(words.course, _measured(rows, words), 4.3, notes)
    axes = style.panel(figure, 0.75, 0.55, 0.85, style.foot(notes))
    for code in reversed(RESPONSES):  # responders on top
        for course in (c for c in courses.values() if c[0]["response"] == code):
            colour, line = (SOFT, ":") if code in HATCHED else (RESPONSES[code], "-")
            months = [0.0, *(row["t_months"] for row in course)]
            change = [0.0, *(row["change_pct"] for row in course)]
            axes.plot(months, change, color=colour, ls=line, lw=1.1, marker="o", ms=2.4, alpha=0.9)
    ticks = timeline.months(max(row["t_months"] for row in rows))
    top = max(_bounds()[1] + 5, *(row["change_pct"] for row in rows))
    axes.set(xlim=(0, 1.01 * ticks[-1]), ylim=(-104, min(top, CEILING) + 4), xlabel=f"Months since {words.start}")
    axes.set_xticks(ticks)
    axes.axhline(0, color=INK, lw=0.8)
    _scale(axes, "Change from baseline (%)")
    style.legend(figure, style.response_keys(best, len(best) == rows[0]["n_measured"]))
    return figure


def _bounds() -> tuple[int, int]:
    """Changes that the rules of response look at: the least shrinkage of PR, the least growth of PD."""
    return study.protocol()["pr_max_pct"]["value"] - 100, study.protocol()["pd_min_increase_pct"]["value"]


def _scale(axes: "Axes", label: str) -> None:
    """Lines at the bounds of partial response and progression, their numbers beside the data."""
    axes.set_ylabel(label)
    axes.set_yticks([tick for tick in range(-100, CEILING + 1, 25) if tick <= axes.get_ylim()[1]])
    axes.yaxis.set_major_formatter(lambda value, _: signed(value))
    for bound in _bounds():
        axes.axhline(bound, color=SOFT, lw=0.9, ls=(0, (4, 3)))
        axes.annotate(f"{signed(bound)}%", (1, bound), (4, 0), xycoords=("axes fraction", "data"), va="center",
                      textcoords="offset points", fontsize=8, color=SOFT)  # fmt: skip


def _measured(rows: Rows, words: Series) -> str:
    """How many there are, and how many of them could be measured."""
    return f"{rows[0]['n_measured']:,} of {counted(rows[0]['n_all'], words.unit)} measured at baseline and after"


def _limits(n_shown: int, rows: Rows, column: str) -> list[str]:
    """What the figure does not show."""
    notes = []
    if n_shown < rows[0]["n_measured"]:
        notes.append(f"Shown: {n_shown:,} of {rows[0]['n_measured']:,}, evenly spaced by best change.")
    if any(row[column] > CEILING for row in rows):
        notes.append(f"Growth beyond {signed(CEILING)}% is cut.")
    return notes
