"""Small pictures inside a page, in the language of its reader; words stay words, to be found and read aloud."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from pipelines.figures.style import BLUE, DARK_BLUE, INK, LINE, PALE_BLUE, RED, SOFT

WIDTH = 700  # what fits between the margins of A4
LANE = 15  # of a subject
LANES = 45  # subjects in one picture: a page of A4
BINS = ((100, DARK_BLUE, "white"), (95, BLUE, "white"), (80, PALE_BLUE, INK), (0, "#FBE3D6", INK))  # % complete from
# kind of date -> how it is drawn; shapes differ as well as colours
MARKS = {
    "drug": ("bar", BLUE), "assessment": ("line", INK), "fraction": ("square", RED),
    "restaging": ("diamond", "#009E73"),
    "adverse_event": ("triangle", "#8C5A00"), "followup": ("circle", SOFT), "death": ("cross", INK),
}  # fmt: skip
Drawn = Sequence[Mapping[str, Any]]


def trend(rows: Drawn, words: Mapping[str, str]) -> str:
    """Open queries after each delivery, those that are new among them, and how many were resolved.

    Input: one row per delivery, oldest first: `day`, `queries_open`, `queries_new`, `queries_resolved`.
    """
    top, bottom, left = 40, 150, 40
    most = max([1, *(int(row[k]) for row in rows for k in ("queries_open", "queries_resolved"))])
    step = (WIDTH - left) / max(len(rows), 4)
    wide = min(46.0, step * 0.5)
    parts = [_keys([("rect", BLUE, words["queries_open"]), ("rect", RED, words["queries_new"]),
                    ("circle", INK, words["queries_resolved"])], left)]  # fmt: skip
    for value in sorted({0, most // 2, most}):
        y = bottom - (bottom - top) * value / most
        parts.append(_line(left, y, WIDTH, y, LINE) + _text(left - 6, y + 4, str(value), "end"))
    for place, row in enumerate(rows):
        x = left + step * (place + 0.5)
        height = {k: (bottom - top) * int(row[k]) / most for k in row if k.startswith("queries_")}
        fresh = min(height["queries_new"], height["queries_open"])
        parts.append(_rect(x - wide / 2, bottom - height["queries_open"], wide, height["queries_open"], BLUE))
        parts.append(_rect(x - wide / 2, bottom - fresh, wide, fresh, RED))
        parts.append(_mark("circle", x + wide / 2 + 10, bottom - height["queries_resolved"], INK))
        parts.append(_text(x, bottom + 16, str(row["day"])))
        parts.append(_text(x, bottom - height["queries_open"] - 7, str(row["queries_open"]), bold=True))
    told = "; ".join(
        f"{row['day']}: {', '.join(f'{words[k]} {row[k]}' for k in row if k.startswith('queries_'))}" for row in rows
    )
    return _svg(bottom + 24, words["trend"], told, parts)


def spark(days: Sequence[str], values: Sequence[int], most: int, title: str) -> str:
    """One small bar a delivery, the newest last; `most` is as high as a bar gets."""
    told = ", ".join(f"{day}: {n}" for day, n in zip(days, values, strict=True))
    bars = []
    for place, n in enumerate(values[-12:]):
        height = 18 * n / max(most, 1)
        bars.append(_rect(9 * place, 20 - height, 7, height, BLUE) + _line(9 * place, 20.5, 9 * place + 7, 20.5, SOFT))
    return f'<svg width="110" height="22" role="img" aria-label={quoteattr(f"{title}. {told}")}>{"".join(bars)}</svg>'


def heat(fields: Sequence[str], days: Sequence[str], cells: Mapping[tuple[int, int], float], title: str) -> str:
    """How complete each field is in each delivery: the share in the cell, darker where more is there.

    `cells`: (place of the field, place of the delivery) -> % of the rows in which it is due.
    """
    left, top, high = 330, 26, 20
    wide = min(70.0, (WIDTH - left) / max(len(days), 1))
    parts = [_text(left + wide * (j + 0.5), top - 8, day) for j, day in enumerate(days)]
    for i, field in enumerate(fields):
        y = top + high * i
        parts.append(_text(left - 8, y + 14, field, "end"))
        for j in range(len(days)):
            share = cells.get((i, j))
            fill, ink = next(((f, k) for low, f, k in BINS if share is not None and share >= low), ("#FFFFFF", SOFT))
            shown = "–" if share is None else str(int(share))  # 99.6 is not 100
            parts.append(_rect(left + wide * j, y, wide - 2, high - 2, fill, SOFT if share is None else ""))
            parts.append(_text(left + wide * j + wide / 2 - 1, y + 13, shown, fill=ink))
    told = "; ".join(
        f"{field}: " + ", ".join(f"{day} {int(cells[i, j])} %" for j, day in enumerate(days) if (i, j) in cells)
        for i, field in enumerate(fields)
    )
    return _svg(top + high * len(fields) + 6, title, told, parts)


def timelines(subjects: Mapping[str, Drawn], words: Mapping[str, str]) -> list[str]:
    """What was received of each subject, by day: one lane a subject, so many of them to a picture.

    Input: the subject's name -> rows with `kind` (of MARKS), `start_dt` and, of a drug, `end_dt`.
    """
    names = list(subjects)
    return [
        _lanes({n: subjects[n] for n in names[at : at + LANES]}, words) for at in range(0, len(names), LANES)
    ]  # fmt: skip


def _lanes(subjects: Mapping[str, Drawn], words: Mapping[str, str]) -> str:
    left, top = 110, 44
    days = [d.toordinal() for rows in subjects.values() for r in rows for d in (r["start_dt"], r["end_dt"]) if d]
    first, last = date.fromordinal(min(days)).year, date.fromordinal(max(days)).year + 1
    start, end = date(first, 1, 1).toordinal(), date(last, 1, 1).toordinal()

    def x(day: date) -> float:
        return left + (WIDTH - left - 6) * (day.toordinal() - start) / (end - start)

    found = {r["kind"] for rows in subjects.values() for r in rows}
    parts = [_keys([(*MARKS[kind], words[kind]) for kind in MARKS if kind in found], 4)]
    bottom = top + LANE * len(subjects)
    for year in range(first, last + 1, 1 + (last - first) // 12):
        at = x(date(year, 1, 1))
        parts.append(
            _line(at, top - 4, at, bottom, LINE) + _text(at, top - 8, str(year), "start" if year < last else "end")
        )
    for lane, (name, rows) in enumerate(subjects.items()):
        y = top + LANE * (lane + 0.5)
        parts.append(_text(left - 8, y + 4, name, "end") + _line(left, y, WIDTH - 6, y, "#E6EAEE"))
        for r in sorted(rows, key=lambda r: list(MARKS).index(r["kind"])):
            shape, colour = MARKS[r["kind"]]
            parts.append(_mark(shape, x(r["start_dt"]), y, colour, x(r["end_dt"]) if r["end_dt"] else None))
    told = "; ".join(
        f"{name}: {min(r['start_dt'] for r in rows)} – {max(r['end_dt'] or r['start_dt'] for r in rows)}"
        for name, rows in subjects.items()
    )
    return _svg(bottom + 4, words["timeline"], told, parts)


def _mark(shape: str, x: float, y: float, colour: str, end: float | None = None) -> str:
    if shape == "bar":
        return _rect(x, y - 3, max((end or x) - x, 2), 6, colour)
    if shape == "line":
        return _line(x, y - 5, x, y + 5, colour, 1.6)
    if shape == "cross":
        return _line(x - 4, y - 4, x + 4, y + 4, colour, 1.8) + _line(x - 4, y + 4, x + 4, y - 4, colour, 1.8)
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="#fff" stroke="{colour}" stroke-width="1.5"/>'
    shapes: dict[str, list[tuple[float, float]]] = {
        "square": [(-3, -3), (3, -3), (3, 3), (-3, 3)],
        "diamond": [(0, -4.5), (4.5, 0), (0, 4.5), (-4.5, 0)],
        "triangle": [(0, -4.5), (4, 3.5), (-4, 3.5)],
    }
    listed = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in shapes[shape])
    return f'<polygon points="{listed}" fill="{colour}" stroke="#fff" stroke-width="0.6"/>'


def _keys(keys: Sequence[tuple[str, str, str]], left: float) -> str:
    """A row of keys at the top; the room of a word is about its letters."""
    parts, x = [], left
    for shape, colour, word in keys:
        parts.append(_rect(x, 6, 10, 10, colour) if shape == "rect" else _mark(shape, x + 5, 11, colour, x + 10))
        parts.append(_text(x + 15, 15, word, "start"))
        x += 30 + 6.3 * len(word)
    return "".join(parts)


def _svg(height: float, title: str, told: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}" role="img" '
        f"aria-label={quoteattr(f'{title}. {told}')} font-size='11' font-family='system-ui, DejaVu Sans, sans-serif'>"
        f"{''.join(parts)}</svg>"
    )


def _rect(x: float, y: float, width: float, height: float, fill: str, rim: str = "") -> str:
    line = f' stroke="{rim}" stroke-dasharray="2 2"' if rim else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}"{line}/>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, wide: float = 1) -> str:
    return f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}" stroke-width="{wide}"/>'


def _text(x: float, y: float, text: str, anchor: str = "middle", fill: str = INK, bold: bool = False) -> str:
    weight = ' font-weight="600"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}"{weight}>{escape(text)}</text>'
