"""Forest plot: response rates of anatomic sites and centres with their exact limits."""

from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.figures import style
from pipelines.figures.style import BLUE, INK, SOFT, Rows
from pipelines.figures.words import printed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.2  # inches
TEXTS = {"label": 0.1, "counts": 3.65, "rate": 5.75}  # inches from the left edge


def forest(rows: Rows) -> "Figure":
    """A line a group, its square as large as its share of those counted; a diamond for all of the section.

    Input: reports.forest by its order; %.
    """
    title = "Response rate by anatomic site and by centre"
    if not rows:
        return style.empty(title)
    confidence = study.protocol()["confidence_pct"]["value"]
    starts = [i for i, row in enumerate(rows) if not i or row["section"] != rows[i - 1]["section"]]
    # a section's heading takes a line above its rows, and room before it
    places = [i + sum(1.0 if start == 0 else 1.6 for start in starts if start <= i) for i in range(len(rows))]
    notes = [
        "Not evaluable counts as no response. Squares grow with the number counted; diamonds and dashed lines: all."
    ]
    figure = style.blank(
        title,
        "Patients or irradiated sites with a complete or partial response, of all",
        (places[-1] + 1) * ROW + 1.9,
        notes,
    )
    axes = style.panel(figure, 3.85, 1.45, 0.85, style.foot(notes))
    axes.set(xlim=(0, 100), ylim=(places[-1] + 0.6, -0.6), xlabel="Response rate (%)")
    axes.set_xticks(range(0, 101, 25))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    _write(axes, -1, bold=True, counts="Responders / all", rate=f"% ({confidence}% CI)")
    for start, end in zip(starts, [*starts[1:], len(rows)], strict=True):
        _write(axes, places[start] - 1, bold=True, label=rows[start]["section"])
        _section(axes, rows[start:end], places[start:end])
    return figure


def _section(axes: "Axes", rows: Rows, places: list[float]) -> None:
    """Groups of one section, each with its limits, and the rate of all as a line through them."""
    largest = max(row["n"] for row in rows)
    for place, row in zip(places, rows, strict=True):
        whole = row["whole_fl"] == "Y"
        rate, lower, upper = (printed(row[name], 0) for name in ("orr_pct", "orr_lcl", "orr_ucl"))
        _write(
            axes, place, bold=whole, label=row["label"], counts=f"{row['n_responders']:,}/{row['n']:,}",
            rate=f"{rate} ({lower}\N{EN DASH}{upper})",
        )  # fmt: skip
        axes.plot([row["orr_lcl"], row["orr_ucl"]], [place, place], color=INK, lw=1, clip_on=False)
        size = 7.5 if whole else 3 + 5 * (row["n"] / largest) ** 0.5
        axes.plot(row["orr_pct"], place, "D" if whole else "s", ms=size, color=INK if whole else BLUE, clip_on=False)
        if whole:
            axes.plot([row["orr_pct"]] * 2, [places[0] - 0.5, place], ls=(0, (3, 2)), color=SOFT, lw=0.9, zorder=0)


def _write(axes: "Axes", place: float, bold: bool, **texts: str) -> None:
    """Texts of one line, each in its column."""
    looks: dict[str, Any] = {"va": "center_baseline", "fontsize": 8, "fontweight": "bold" if bold else "normal"}
    for column, text in texts.items():
        looks["ha"] = "right" if column == "counts" else "left"
        axes.annotate(
            text, (TEXTS[column] * 72, place), xycoords=("figure points", "data"), annotation_clip=False, **looks
        )
