"""What leaves the house: small counts are suppressed, and no cell can run, mislead or burst a sheet."""

import re
from collections.abc import Collection, Mapping, Sequence

LONGEST = 500  # characters of one cell; a workbook's cell holds 32,767
STARTS = "=+@-\uff1d\uff0b\uff20\uff0d"  # as a spreadsheet reads them, full width too
PLAIN = r"[0-9]+(?:[.,][0-9]+)?"
NUMBER = re.compile(rf"[+-]?{PLAIN}")
# what begins a cell inside a text, where a spreadsheet splits the line at another delimiter than ours
INSIDE = re.compile(rf"([,;|\"']\s*)(?=[=@\uff1d\uff20\uff0b\uff0d]|[+-](?!{PLAIN}\s*$))")
ESCAPED_INSIDE = re.compile(INSIDE.pattern.replace("(?=", "'(?=", 1))
# controls, marks that turn the direction of writing, spaces of no width, and what no XML may hold
UNSEEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufdd0-\ufdef\ufff0-\ufffb\ufffe\uffff\ud800-\udfff"
    "\U000e0000-\U000e0fff]"
)
UNSEEN_IN_A_LINE = re.compile(f"\n|{UNSEEN.pattern}")
CUT = re.compile(rf"(?s:.{{{LONGEST}}})… \([0-9]+\)")
NAMES = {"\t": "<tab>", "\n": "<line end>", "\r": "<return>"}
Count = int | None
TOUCH = 1e-6  # above what the solver leaves of a zero


def readable(text: str) -> str:
    """A text as a person may read it anywhere: what cannot be seen is shown, and what is very long is cut.

    Tab and line end are named (<tab>), other marks shown by number (<U+202E>). A text that was cut says its length.
    What is readable stays as it is.
    """
    return _shown(text, UNSEEN)


def in_one_line(text: str) -> str:
    """A readable text whose line ends are named, too: as a list of queries shows it, and as it comes back with one."""
    return _shown(text, UNSEEN_IN_A_LINE)


def _shown(text: str, unseen: re.Pattern[str]) -> str:
    if CUT.fullmatch(text) and not unseen.search(text):
        return text
    shown = unseen.sub(_named, text[:LONGEST])
    return shown if max(len(text), len(shown)) <= LONGEST else f"{shown[:LONGEST]}… ({len(text)})"


def _named(found: re.Match[str]) -> str:
    return NAMES.get(found[0]) or f"<U+{ord(found[0]):04X}>"


def escape_formula(value: str) -> str:
    """A text that a spreadsheet shows and never runs: an apostrophe goes before what would start a formula.

    Also inside, after a delimiter: where the spreadsheet splits the line at another one than ours, a cell begins there.
    Plain numbers stay as they are; line ends are named. Source: OWASP, CSV injection.
    """
    text = INSIDE.sub(r"\1'", in_one_line(value))
    runs = text.lstrip(" \xa0").startswith(tuple(STARTS)) and not NUMBER.fullmatch(text)
    return "'" + text if runs else text


def unescape_formula(value: str) -> str:
    """What `escape_formula` made its text from: the apostrophe that we put there comes back with a centre's answer."""
    text = value.strip()
    bare = (ESCAPED_INSIDE.sub(r"\1", t) for t in dict.fromkeys([text.removeprefix("'"), text]))
    return next((t for t in bare if escape_formula(t) == text), text)


def suppress(counts: Sequence[int], bound: int, total_known: bool = True) -> list[Count]:
    """Counts of one breakdown with small cells hidden; None is hidden.

    Where the total is known, too, others are hidden with them, as `suppress_table` does. A breakdown whose total is
    itself small cannot be saved by hiding cells: suppress the total.
    """
    if not total_known:
        return [None if 0 < n < bound else n for n in counts]
    cells = [*counts, sum(counts)]
    hidden = _hidden(cells, [(len(counts), list(range(len(counts))))], bound, {len(counts)})
    return [None if i in hidden else n for i, n in enumerate(counts)]


def suppress_table(
    rows: Sequence[Sequence[int]], bound: int, own: Collection[tuple[int, int]] = ()
) -> tuple[list[list[Count]], list[Count], list[Count], Count]:
    """A table of counts, its row totals, column totals and total, with as little hidden as keeps the small ones safe.

    Primary: every count from 1 to `bound` - 1, totals included. Complementary: others, until nobody who adds and
    subtracts what is shown can say of any hidden small count that it lies below the bound, even knowing that a hidden
    count is not 0. Zeros are shown where they are not needed as cover: they name nobody. `own` are the cells (row,
    column) that the reader knows anyway: they are shown and hide nothing. Source: QUALITY, small counts; the bound is
    `small_cell_bound` of the protocol.
    """
    n, m = len(rows), len(rows[0]) if rows else 0
    full = [[*row, sum(row)] for row in rows]
    full.append([sum(column) for column in zip(*full, strict=True)] if full else [0])
    lines = [[i * (m + 1) + j for j in range(m + 1)] for i in range(n + 1)]
    lines += [[i * (m + 1) + j for i in range(n + 1)] for j in range(m + 1)]
    known = {i * (m + 1) + j for i, j in own}
    hidden = _hidden([x for row in full for x in row], [(line[-1], line[:-1]) for line in lines], bound, known)
    shown = [[None if i * (m + 1) + j in hidden else x for j, x in enumerate(row)] for i, row in enumerate(full)]
    return [row[:-1] for row in shown[:-1]], [row[-1] for row in shown[:-1]], shown[-1][:-1], shown[-1][-1]


def suppress_rows(rows: Sequence[Mapping[str, object]], count: str, bound: int) -> list[dict[str, object]]:
    """Rows of one breakdown whose column `count` is suppressed; every other column of a hidden row is hidden with it,
    except its first, which names the row."""
    shown = suppress([int(str(row[count])) for row in rows], bound)
    return [
        dict(row) if n is not None else {key: row[key] if i == 0 else None for i, key in enumerate(row)}
        for row, n in zip(rows, shown, strict=True)
    ]


def _hidden(
    cells: Sequence[int], sums: Sequence[tuple[int, Sequence[int]]], bound: int, known: Collection[int]
) -> set[int]:
    """Which cells to hide. `sums` are (total, parts) by index; `known` cells cannot be hidden.

    For each small cell in turn the cheapest set of cells is hidden within which the table could be another one that
    gives this cell `bound`, every sum holding: a linear programme. Where there is none, all that can be is hidden.
    """
    known = _known(sums, set(known))
    small = sorted((i for i, x in enumerate(cells) if 0 < x < bound and i not in known), key=lambda i: (cells[i], i))
    hidden = set(small)
    for i in small:
        moved = _cover(cells, sums, bound - cells[i], i, hidden, known)
        if moved is None:
            return {j for j in range(len(cells)) if j not in known}
        hidden |= moved
    return hidden


def _known(sums: Sequence[tuple[int, Sequence[int]]], known: set[int]) -> set[int]:
    """Also what follows from the known cells alone: a cell that all others of a sum give away."""
    for _ in sums:
        for total, parts in sums:
            open_ones = {total, *parts} - known
            known |= open_ones if len(open_ones) == 1 else set()
    return known


def _cover(
    cells: Sequence[int], sums: Sequence[tuple[int, Sequence[int]]], rise: int, i: int, hidden: Collection[int],
    known: Collection[int],
) -> set[int] | None:  # fmt: skip
    """The cells that have to move where cell `i` rises by `rise`; None where that is impossible.

    Moving a hidden cell costs nothing, a shown one more the larger it is, a zero most. A count above 0 stays above 0.
    """
    import numpy as np
    from scipy.optimize import linprog

    n = len(cells)
    order = sorted(range(n), key=lambda j: (cells[j] == 0, cells[j], j))
    price = np.zeros(n)
    price[order] = np.arange(1, n + 1)
    price[list(hidden)] = 0
    fixed = [j in known for j in range(n)]
    up = [(rise, rise) if j == i else (0, 0 if fixed[j] else None) for j in range(n)]
    down = [(0, 0 if fixed[j] or j == i else max(cells[j] - 1, 0)) for j in range(n)]
    balance = np.zeros((len(sums), n))
    for row, (total, parts) in enumerate(sums):
        balance[row, list(parts)], balance[row, total] = 1, -1
    found = linprog(
        np.concatenate([price, price]), A_eq=np.hstack([balance, -balance]), b_eq=np.zeros(len(sums)),
        bounds=up + down, method="highs-ds",
    )  # fmt: skip
    if found.status != 0:
        return None
    return {j for j in range(n) if abs(found.x[j] - found.x[n + j]) > TOUCH}
