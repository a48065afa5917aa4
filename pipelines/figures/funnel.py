"""Centres against chance: where the rate of each lies within the limits that its size allows."""

from typing import TYPE_CHECKING

from pipelines import study
from pipelines.figures import style
from pipelines.figures.style import BLUE, INK, LINE, PALE_BLUE, RED, SOFT, Rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.16  # inches of a centre
COLUMNS = 2
GAP = 0.58  # inches above a panel: the axis of the one before and its own title


def funnel(rows: Rows, title: str = "Centres against chance") -> "Figure":
    """A panel per measure, a line per centre: its rate, the rate of all centres of its kind, and exact binomial limits.

    Input: reports.centre_funnel with `label` of the measure and `measure_no`, by measure, kind, centre and limits; %.
    """
    if not rows:
        return style.empty(title)
    measures: dict[str, list[dict[str, dict[str, object]]]] = {}
    for row in rows:
        centres = measures.setdefault(row["label"], [])
        if not centres or centres[-1]["first"]["centre"] != row["centre"]:
            centres.append({"first": row})
        centres[-1][f"{row['limits_pct']:g}"] = row
    levels = sorted({f"{row['limits_pct']:g}" for row in rows}, key=float)
    labels = list(measures)
    lines = [labels[at : at + COLUMNS] for at in range(0, len(labels), COLUMNS)]
    heights = [ROW * max(len(measures[label]) for label in line) for line in lines]
    fewest = study.protocol()["funnel_min_n"]["value"]
    notes = [
        "Limits: what chance allows a centre of its size, were its true rate that of all of its kind (stroke).",
        f"Hollow: fewer than {fewest} were counted, which is never judged.",
    ]
    height = 0.75 + sum(h + GAP for h in heights) + style.foot(notes) - 0.45
    figure = style.blank(title, "Each measure with the number counted of each centre", height, notes)
    width = style.WIDTH / COLUMNS
    top = 0.75
    for line, high in zip(lines, heights, strict=True):
        top += GAP - 0.4
        for place, label in enumerate(line):
            right = style.WIDTH - (place + 1) * width + 0.15
            below = height - top - ROW * len(measures[label])
            _draw(style.panel(figure, place * width + 0.95, right, top, below), label, measures[label], levels)
        top += high + 0.4
    _legend(figure, levels)
    return figure


def _draw(axes: "Axes", label: str, centres: "list[dict[str, dict[str, object]]]", levels: list[str]) -> None:
    shades = dict(zip(reversed(levels), (PALE_BLUE, "#7FB2D6"), strict=False))
    for place, centre in enumerate(centres):
        first = centre["first"]
        for level, shade in shades.items():
            lower, upper = (float(str(centre[level][name])) for name in ("lower_pct", "upper_pct"))
            axes.barh(place, max(upper - lower, 0.4), left=lower, height=0.7, color=shade)
        axes.plot([float(str(first["overall_pct"]))] * 2, [place - 0.42, place + 0.42], color=INK, lw=1.2)
        flags = {str(row["flag"]) for name, row in centre.items() if name != "first"}
        judged = "None" not in flags
        colour = RED if flags & {"low", "high"} else BLUE
        axes.plot(first["pct"], place, "o" if colour == BLUE else "D", ms=4.5, mec=colour,  # type: ignore[arg-type]
                  mfc=colour if judged else "white", clip_on=False, zorder=3)  # fmt: skip
    axes.set_yticks(range(len(centres)), [f"{c['first']['centre']} ({c['first']['n']:,})" for c in centres])
    axes.tick_params(axis="y", length=0, labelsize=7.5)
    lowest = min(float(str(row[name])) for c in centres for row in c.values() for name in ("lower_pct", "pct"))
    start = 0 if lowest < 50 else min(90, 10 * int(lowest // 10))  # shares near all would lie on each other
    axes.set(ylim=(len(centres) - 0.4, -0.6), xlim=(start, 100))
    axes.set_title(f"{label}, %", fontsize=8.5, loc="left", pad=4)
    axes.spines["left"].set_color(LINE)
    axes.tick_params(axis="x", labelsize=7)


def _legend(figure: "Figure", levels: list[str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    shades = dict(zip(reversed(levels), (PALE_BLUE, "#7FB2D6"), strict=False))
    style.legend(
        figure,
        [
            *(Patch(color=shade, label=f"{level}% limits") for level, shade in reversed(shades.items())),
            Line2D([], [], color=INK, lw=1.2, label="All of the kind"),
            Line2D([], [], color=BLUE, marker="o", ls="", ms=5, label="Within"),
            Line2D([], [], color=RED, marker="D", ls="", ms=5, label="Outside"),
            Line2D([], [], color=SOFT, marker="o", mfc="white", ls="", ms=5, label="Too few"),
        ],
    )
