"""Horizontal bars: responses by anatomic site, and toxicity, in the paper's window and in all."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines import study
from pipelines.figures import style
from pipelines.figures.style import HATCHED, INK, ON_RESPONSE, PALE_BLUE, RED, RESPONSES, SOFT, Rows
from pipelines.figures.words import counted, printed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROW = 0.3  # inches
READABLE = 3  # %: a narrower part of a bar has no room for its number


def responses(rows: Rows) -> "Figure":
    """Responses of the irradiated sites, a bar an anatomic site, every site counted.

    Input: reports.response_by_anatomic_site with `label`, in the order of the code list.
    """
    title = "Response at restaging after radiotherapy by anatomic site"
    if not rows:
        return style.empty(title)
    about = counted(sum(row["n"] for row in rows), "irradiated site") + "; numbers in the bars are sites"
    figure, axes = _bars(title, about, [row["label"] for row in rows], 0.95)
    _column(axes, 50, "Sites", [f"{row['n']:,}" for row in rows])
    for code, colour in RESPONSES.items():
        counts = [row[f"n_{code.lower()}"] for row in rows]
        before = [sum(row[f"n_{c.lower()}"] for c in list(RESPONSES)[: list(RESPONSES).index(code)]) for row in rows]
        shares = [100 * n / row["n"] for n, row in zip(counts, rows, strict=True)]
        starts = [100 * n / row["n"] for n, row in zip(before, rows, strict=True)]
        axes.barh(
            range(len(rows)), shares, left=starts, color=colour, height=0.72, ec=SOFT, lw=0.4, hatch=HATCHED.get(code)
        )
        for place, (start, share, n) in enumerate(zip(starts, shares, counts, strict=True)):
            if share >= READABLE + 1.2 * len(f"{n:,}"):
                rim = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none"} if code in HATCHED else None
                axes.text(start + share / 2, place, f"{n:,}", ha="center", va="center", color=ON_RESPONSE[code],
                          fontsize=8, bbox=rim)  # fmt: skip
    axes.set(xlim=(0, 100), xlabel="Irradiated sites (%)")
    found = [{"response": code} for code in RESPONSES if any(row[f"n_{code.lower()}"] for row in rows)]
    style.legend(figure, style.response_keys(found, count=False))
    return figure


def toxicity(rows: Rows) -> "Figure":
    """Patients with any grade and with grade 3-4, each with exact limits.

    Input: reports.toxicity with `label`, in the order of the code list; %.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    title = "Toxicity from the first fraction on"
    rows = [row for row in rows if row["pct_any"] is not None]
    if not rows:
        return style.empty(title)
    confidence = study.protocol()["confidence_pct"]["value"]
    about = f"Worst grade of each of {counted(rows[0]['n_denominator'], 'patient')}"
    figure, axes = _bars(title, about, [row["label"] for row in rows], 2.35)
    places = range(len(rows))
    axes.barh(places, [row["pct_any"] for row in rows], color=PALE_BLUE, height=0.72)
    axes.barh(places, [row["pct_grade34"] for row in rows], color=RED, height=0.4)
    spread = [
        [row["pct_any"] - row["pct_any_lcl"] for row in rows],
        [row["pct_any_ucl"] - row["pct_any"] for row in rows],
    ]
    axes.errorbar(
        [row["pct_any"] for row in rows], places, xerr=spread, fmt="none", ecolor=INK, elinewidth=0.8, capsize=2
    )
    longest = max(row["pct_any_ucl"] for row in rows)
    axes.set(xlim=(0, min(100, longest * 1.02)), xlabel="Patients (%)")
    for right, head, grades in ((80, "Any grade", "any"), (160, "Grade 3\N{EN DASH}4", "grade34")):
        _column(axes, right, head, [f"{row[f'n_{grades}']:,} ({printed(row[f'pct_{grades}'], 0)}%)" for row in rows])
    limits = Line2D([], [], color=INK, lw=0.8, marker="|", ms=5, label=f"Exact {confidence}% limits of any grade")
    style.legend(
        figure, [Patch(color=PALE_BLUE, label="Any grade"), Patch(color=RED, label="Grade 3\N{EN DASH}4"), limits]
    )
    return figure


def toxicity_windows(rows: Rows) -> "Figure":
    """Patients by worst grade before, during and after radiotherapy, a column a window.

    Input: reports.toxicity_windows of the rows of Table III, with `label` and `window_label`, by window and then by
    row in the order of the code lists; %.
    """
    from matplotlib.patches import Patch

    title = "Toxicity by window"
    rows = [row for row in rows if row["pct_any"] is not None]
    if not rows:
        return style.empty(title)
    windows = list(dict.fromkeys(row["window_label"] for row in rows))
    labels = list(dict.fromkeys(row["label"] for row in rows))
    figure = style.blank(title, "Patients by their worst grade in each window", ROW * len(labels) + 1.95)
    width = (style.WIDTH - 1.45) / len(windows)  # inches
    # of a column, bars take this share and the numbers behind them the rest
    scale = max(1, *(row["pct_any"] for row in rows)) / 0.38
    for column, window in enumerate(windows):
        chosen = [row for row in rows if row["window_label"] == window]
        left = 1.4 + column * width
        axes = style.panel(figure, left, style.WIDTH - left - width + 0.08, 1.35, 0.5)
        places = [labels.index(row["label"]) for row in chosen]
        axes.barh(places, [row["pct_any"] for row in chosen], color=PALE_BLUE, height=0.72)
        axes.barh(places, [row["pct_grade34"] for row in chosen], color=RED, height=0.4)
        for place, row in zip(places, chosen, strict=True):
            severe = f" ({printed(row['pct_grade34'], 0)}%)" if row["n_grade34"] else ""
            text = f"{printed(row['pct_any'], 0)}%{severe}"
            axes.annotate(text, (row["pct_any"], place), (3, 0), textcoords="offset points", va="center_baseline",
                          fontsize=6.5)  # fmt: skip
        axes.set(xlim=(0, scale), ylim=(len(labels) - 0.4, -0.6), xticks=[])
        axes.set_yticks(range(len(labels)), labels if not column else [""] * len(labels))
        axes.tick_params(axis="y", length=0)
        axes.spines["bottom"].set_visible(False)
        head = "\n".join([*textwrap.wrap(window, 14), f"n = {chosen[0]['n_denominator']:,}"])
        axes.set_title(head, loc="left", fontsize=7.5, fontweight="bold", pad=3)
    style.legend(figure, [Patch(color=PALE_BLUE, label="Any grade"),
                          Patch(color=RED, label="Grade 3\N{EN DASH}4 (in brackets)")])  # fmt: skip
    return figure


def _bars(title: str, about: str, labels: Sequence[str], right: float) -> "tuple[Figure, Axes]":
    """An empty figure with a row per label, from the top, and room for a legend between title and rows."""
    figure = style.blank(title, about, ROW * len(labels) + 1.8)
    axes = style.panel(figure, 1.95, right, 0.95, 0.75)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    return figure, axes


def _column(axes: "Axes", right: float, head: str, texts: Sequence[str]) -> None:
    """A column of numbers beside the bars, its right edge so many points from them."""
    for place, text in enumerate([head, *texts], -1):
        axes.annotate(
            text, (1, place), (right, 0), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
            va="center_baseline", fontsize=8, fontweight="bold" if place < 0 else "normal", annotation_clip=False,
        )  # fmt: skip
