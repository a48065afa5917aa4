"""Cumulative incidence of competing events, stacked: with those who are free of all of them they make up everybody."""

import textwrap
from itertools import groupby
from typing import TYPE_CHECKING, Any

from pipelines.figures import style, timeline
from pipelines.figures.style import LINE, SOFT, Rows
from pipelines.figures.words import counted, printed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BANDS = ("#0B3C5D", "#4A9BD4", "#BCD4E6", "#B5400F", "#EDB74D")  # neighbours differ in grey, too
APART = 0.34  # inches between the middles of two labels


def incidence(rows: Rows, endpoint: dict[str, Any]) -> "Figure":
    """How many have had each kind of event first, one band a kind, and how many are still free of all.

    Input: the endpoint's rows of reports.cumulative_incidence in the order of kinds and times; months.
    """
    if not rows:
        return style.empty(endpoint["param"], "No event")
    kinds = {kind: list(part) for kind, part in groupby(rows, key=lambda row: row["evntdesc"])}
    first = next(iter(kinds.values()))
    about = f"{counted(first[0]['n_at_risk'], 'patient')}, {counted(sum(row['n_event'] for row in rows), 'event')}"
    notes = [
        "Aalen-Johansen estimates; the bands add up to those who have had any of the events. Right: at the last time."
    ]
    figure = style.blank(endpoint["param"], about, 4.3, notes)
    axes = style.panel(figure, 0.75, 2.3, 0.7, style.foot(notes) + 0.4)
    last = first[-1]["t_months"]
    # a little beyond the last time, so that its step is seen
    times, below, labels = [0.0, *(row["t_months"] for row in first), 1.015 * last], [0.0] * (len(first) + 2), []
    for place, (kind, course) in enumerate(kinds.items()):
        shares = [0.0, *(row["incidence"] for row in course), course[-1]["incidence"]]
        above = [b + 100 * share for b, share in zip(below, shares, strict=True)]
        colour = BANDS[place % len(BANDS)]
        axes.fill_between(times, below, above, step="post", color=colour, lw=0)
        axes.step(times, above, where="post", color="white", lw=0.4)
        labels.append((kind, above[-1] - below[-1], below[-1], colour))
        below = above
    timeline.frame(axes, last, "Cumulative incidence", 6)
    _labels(axes, times[-1], [*labels, ("Free of all events", 100 - below[-1], below[-1], "white")])
    timeline.at_risk(axes, [timeline.Group(first, first[0]["n_at_risk"])], 0.1)
    return figure


def _labels(axes: "Axes", last: float, labels: list[tuple[str, float, float, str]]) -> None:
    """Each band's name and height beside its end, moved apart where bands are narrow."""
    inches = axes.get_position().height * axes.figure.get_figheight()  # type: ignore[union-attr]
    apart = 100 * APART / inches
    places: list[float] = []
    for _, height, foot, _ in labels:
        places.append(max(foot + height / 2, places[-1] + apart if places else 0))
    for i in range(len(places) - 1, -1, -1):
        places[i] = min(places[i], 100 - apart * (len(places) - 1 - i))
    for (name, height, foot, colour), place in zip(labels, places, strict=True):
        text = textwrap.fill(f"{name}:\N{NO-BREAK SPACE}{printed(height, 0)}%", 30)
        axes.annotate(text, (1, place), (28, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                      va="center", fontsize=8, linespacing=1.1)  # fmt: skip
        end = axes.get_xlim()[1]
        axes.plot([last, end * 1.05], [foot + height / 2, place], color=LINE, lw=0.7, clip_on=False, zorder=0)
        axes.plot(end * 1.065, place, "s", ms=7, mfc=colour, mec=SOFT, mew=0.5, clip_on=False)
