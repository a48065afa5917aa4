"""How every figure looks: one width, one palette, one place for title, legend and notes; the same bytes every time.

The colours of responses differ in lightness, too, so that they are told apart in grey and by colour-blind readers.
"""

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[dict[str, Any]]

WIDTH = 7.0  # inches: between the margins of A4
INK, SOFT, LINE = "#1C2733", "#5B6875", "#B9C2CB"
BLUE, PALE_BLUE, DARK_BLUE, RED = "#0072B2", "#BCD4E6", "#24476B", "#B5400F"
RESPONSES = {"CR": "#0B3C5D", "PR": "#4A9BD4", "SD": "#EDB74D", "PD": "#B5400F", "NE": "#FFFFFF"}
# ink that can be read on a response's colour
ON_RESPONSE = {"CR": "white", "PR": INK, "SD": INK, "PD": "white", "NE": INK}
HATCHED = {"NE": "////"}  # what is not known has no colour
RESPONSE_WORDS = {
    "CR": "Complete response", "PR": "Partial response", "SD": "Stable disease", "PD": "Progressive disease",
    "NE": "Not evaluable",
}  # fmt: skip
# groups of patients: Okabe and Ito's colours from dark to light, each with a line of its own
GROUPS = (
    ("#0072B2", "-"),
    ("#D55E00", "--"),
    ("#1C2733", "-."),
    ("#009E73", (0, (1, 1))),
    ("#CC79A7", (0, (5, 1, 1, 1))),
)
STYLE = {
    "font.family": "DejaVu Sans", "font.size": 8.5, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK,
    "axes.linewidth": 0.8, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "xtick.color": INK, "ytick.color": INK, "xtick.labelsize": 8, "ytick.labelsize": 8, "hatch.linewidth": 0.5,
    "hatch.color": SOFT, "legend.frameon": False, "legend.fontsize": 7.5, "svg.hashsalt": "restage",
    "svg.fonttype": "path", "axes.unicode_minus": True,
}  # fmt: skip


@contextmanager
def house_style() -> Iterator[None]:
    """Figures that are drawn and saved inside this block look alike, whatever the machine's own settings."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(cast(Any, STYLE))
        yield


def blank(title: str, about: str, height: float, notes: Sequence[str] = ()) -> "Figure":
    """An empty figure with its title, what it counts below, and notes at the foot; inches."""
    from matplotlib.figure import Figure  # without pyplot, which would look for a screen

    figure = Figure(figsize=(WIDTH, height))
    size = min(10.5, 760 / len(title))  # points; a long title is set smaller, so that it stays on its line
    figure.text(0.1 / WIDTH, 1 - 0.1 / height, title, va="top", fontsize=size, fontweight="bold")
    figure.text(0.1 / WIDTH, 1 - 0.34 / height, about, va="top", fontsize=8.5, color=SOFT)
    figure.text(
        0.1 / WIDTH, 0.25 / height, "\n".join(_lines(notes)), va="bottom", fontsize=7, color=SOFT, linespacing=1.3
    )
    return figure


def foot(notes: Sequence[str]) -> float:
    """Inches that the notes take, the line below them and the axis above them included."""
    return 0.75 + 0.13 * len(_lines(notes))


def _lines(notes: Sequence[str]) -> list[str]:
    return [line for note in notes for line in textwrap.wrap(note, 134)]


def panel(figure: "Figure", left: float, right: float, top: float, bottom: float) -> "Axes":
    """Axes by their margins in inches, so that labels have the same room in figures of every height."""
    width, height = figure.get_size_inches()
    return figure.add_axes((left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height))


def legend(figure: "Figure", handles: "Sequence[Artist]", left: float = 0.1, top: float = 0.55) -> None:
    """A row of keys between title and data."""
    width, height = figure.get_size_inches()
    figure.legend(
        handles=list(handles), loc="upper left", ncols=len(handles), bbox_to_anchor=(left / width, 1 - top / height),
        borderaxespad=0, borderpad=0, handlelength=1.2, handletextpad=0.5, columnspacing=1.1,
    )  # fmt: skip


def response_keys(rows: Rows, count: bool) -> "list[Artist]":
    """A key for every response that occurs, best first, with how many where all are drawn."""
    from matplotlib.patches import Patch

    found = [row["response"] for row in rows]
    return [
        Patch(facecolor=colour, edgecolor=SOFT, lw=0.5, hatch=HATCHED.get(code),
              label=RESPONSE_WORDS[code] + (f" ({found.count(code)})" if count else ""))
        for code, colour in RESPONSES.items() if code in found
    ]  # fmt: skip


def empty(title: str, about: str = "Nothing to draw") -> "Figure":
    """What stands in place of a figure without data."""
    return blank(title, about, 0.9)


def save(figure: "Figure", stem: Path, note: str) -> list[Path]:
    """Write `stem`.svg and .png with `note` at the foot; neither a date nor a vocabulary's address in the bytes."""
    figure.text(0.1 / WIDTH, 0.08 / figure.get_figheight(), note, fontsize=7, color=SOFT)
    figure.savefig(stem.with_suffix(".svg"), metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    figure.savefig(stem.with_suffix(".png"), dpi=200, metadata={"Software": None})
    return [stem.with_suffix(".svg"), stem.with_suffix(".png")]
