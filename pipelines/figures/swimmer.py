"""Swimmer plot: the course of each subject on one line."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.figures import style, timeline
from pipelines.figures.style import DARK_BLUE, INK, LINE, PALE_BLUE, RED, RESPONSES, SOFT, Rows
from pipelines.figures.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TALLEST, LANE = 7.4, 0.19  # inches: of all lanes together, and of one where they are few
NAMED = 0.12  # inches: a lane lower than this has no room for the subject's code


@dataclass(frozen=True)
class Mark:
    """How an event is drawn: key, marker, colour and size; how far from the lane's middle."""

    label: str
    marker: str
    colour: str
    size: float
    down: float = 0.0  # lanes

    def look(self, lane: float) -> dict[str, Any]:
        """With a thin white rim, so that it is seen on bars and beside others; `lane` in inches."""
        line = self.marker == "|"
        return {"marker": self.marker, "ms": self.size * lane * 72, "mfc": self.colour, "ls": "none",
                "mec": self.colour if line else "white", "mew": 1.2 if line else min(0.5, 2.5 * lane)}  # fmt: skip


# kind and detail of an event; drawn in this order
EVENTS = {
    ("response", "PR"): Mark("Partial response", "o", RESPONSES["PR"], 0.6),
    ("response", "CR"): Mark("Complete response", "o", RESPONSES["CR"], 0.6),
    ("progression", "first"): Mark("First progression", "v", RESPONSES["SD"], 0.52, down=-0.38),
    ("progression", "second"): Mark("Second progression", "v", RED, 0.52, down=-0.38),
    ("next_therapy", None): Mark("Next systemic therapy", "|", INK, 0.8),
    ("death", None): Mark("Death", "X", INK, 0.66),
    ("alive", None): Mark("Alive at last contact", ">", SOFT, 0.55),
}


def swimmer(rows: Rows) -> "Figure":
    """One lane a subject, the longest follow-up on top: drug with its gaps, radiotherapy, and what happened.

    Input: reports.swimmer; months since the first dose.
    """
    title = f"Course of each patient from the first dose of {study.protocol()['study_drug']['value']}"
    if not rows:
        return style.empty(title)
    subjects = {row["usubjid"]: None for row in sorted(rows, key=lambda row: row["rank_no"])}
    places = {usubjid: place for place, usubjid in enumerate(subjects)}
    lane = min(LANE, TALLEST / len(places))
    shown = counted(len(places), "patient")
    if len(places) < rows[0]["n_all"]:
        shown += f" of {rows[0]['n_all']:,}, evenly spaced by length of follow-up"
    figure = style.blank(title, shown, lane * len(places) + 2.0)
    axes = style.panel(figure, 1.25 if lane >= NAMED else 0.4, 0.25, 1.2, 0.8)
    ticks = timeline.months(max(row["end_months"] or row["start_months"] for row in rows), 12)
    axes.set(
        xlim=(min(0, *(row["start_months"] for row in rows)), 1.01 * ticks[-1]),
        ylim=(len(places) - 0.4, -0.6),
        xlabel="Months since first dose",
        yticks=[],
    )
    axes.set_xticks(ticks)
    axes.spines["left"].set_visible(False)
    if lane >= NAMED:
        axes.set_yticks(range(len(places)), places, fontsize=min(7, lane * 72 * 0.6))
        axes.tick_params(axis="y", length=0)
    else:
        axes.set_ylabel("Patients")
    _intervals(axes, rows, places)
    for (kind, detail), mark in EVENTS.items():
        found = [row for row in rows if row["kind"] == kind and (detail is None or row["detail"] == detail)]
        months, lanes = [row["start_months"] for row in found], [places[row["usubjid"]] + mark.down for row in found]
        axes.plot(months, lanes, clip_on=False, zorder=4, **mark.look(lane))
    _keys(figure, {(row["kind"], row["detail"]) for row in rows} | {(row["kind"], None) for row in rows})
    return figure


def _intervals(axes: "Axes", rows: Rows, places: dict[str, int]) -> None:
    """Follow-up as a line, the drug as a bar with gaps, radiotherapy along its lower edge; none too narrow to see."""
    narrowest = axes.get_xlim()[1] * 0.007
    # kind: height and place below the lane's middle in lanes, colour, colour of the edge
    looks = {
        "follow_up": (0.1, 0.0, LINE, "none"), "drug": (0.6, 0.0, PALE_BLUE, "none"),
        "interruption": (0.6, 0.0, "white", SOFT), "radiotherapy": (0.32, 0.28, DARK_BLUE, "none"),
    }  # fmt: skip
    for order, (kind, (height, down, colour, edge)) in enumerate(looks.items()):
        found = [row for row in rows if row["kind"] == kind]
        spans = [max(row["end_months"] - row["start_months"], narrowest) for row in found]
        axes.barh(
            [places[row["usubjid"]] + down for row in found], spans, left=[row["start_months"] for row in found],
            height=height, fc=colour, ec=edge, lw=0.5, zorder=order,
        )  # fmt: skip


def _keys(figure: "Figure", found: set[tuple[str, str | None]]) -> None:
    from matplotlib.artist import Artist
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    drug = study.protocol()["study_drug"]["value"].capitalize()
    keys: list[Artist] = [Patch(color=PALE_BLUE, label=drug)]
    if ("interruption", None) in found:
        keys.append(Patch(facecolor="white", edgecolor=SOFT, lw=0.5, label="Interrupted"))
    keys.append(Patch(color=DARK_BLUE, label="Radiotherapy"))
    keys += [Line2D([], [], label=mark.label, **mark.look(0.16)) for name, mark in EVENTS.items() if name in found]
    rows = [keys[:5], keys[5:]]
    for line, some in enumerate(rows):
        if some:
            style.legend(figure, some, top=0.6 + 0.2 * line)
