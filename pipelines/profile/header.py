"""The row of a table that holds the names of its columns; a row of values is none, because names are written down."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.deliveries.identifiers import PATTERNS

if TYPE_CHECKING:
    import pyarrow as pa

MOST = 0.6  # of a table's columns are filled in its header; lines above it fill fewer
COMPARED = 1000  # values of a column with which its name is compared by shape
PERSON = [re.compile(p) for p in PATTERNS.values()]
# 12, 1.234,5, 12/03/2014, 3-Mar-2014, >100, 28,5 mm
VALUE = re.compile(
    r"[<>=~]*\s*[-+\d.,/: ]*\d[-+\d.,/: ]*(mm|cm|c?gy|%)?|\d+[-. /][a-zà-ù]{3,9}[-. /]\d+", re.IGNORECASE
)


def header_row(rows: Sequence[Sequence[str | None]], width: int) -> int | None:
    """The first row that is filled as a table of this width; None where it holds no names: then no later one does."""
    at = next((i for i, row in enumerate(rows) if sum(1 for c in row if c and c.strip()) >= MOST * width), None)
    return at if at is not None and are_names(rows[at]) else None


def same_names(rows: Sequence[Sequence[str | None]], width: int) -> list[int]:
    """Numbers of the columns that share a name in what would be the header but for that; never the name, which may be a
    value."""
    at = next((row for row in rows if sum(1 for c in row if c and c.strip()) >= MOST * width), ())
    names = [(c or "").strip().casefold() for c in at]
    same = [i for i, name in enumerate(names, 1) if name and names.count(name) > 1]
    return same if are_names(list(dict.fromkeys(names))) else []


def are_names(cells: Sequence[str | None]) -> bool:
    """All given, none twice, none a number or a date."""
    names = [(c or "").strip() for c in cells]
    given = [n for n in names if n]
    folded = {n.casefold() for n in given}
    return (
        len(given) >= max(2, len(names) - 1)
        and len(folded) == len(given)
        and not any(VALUE.fullmatch(n) or any(p.search(n) for p in PERSON) for n in given)
    )


def is_row_of_values(names: Sequence[str], rows: "pa.Table") -> bool:
    """Whether names look like one more row of their table: one stands again in its column, or is shaped as an id there.

    A header that is repeated on every page stands as often in every column, and is none.
    """
    import pyarrow.compute as pc

    columns = [pc.utf8_lower(pc.utf8_trim_whitespace(rows[n].combine_chunks())) for n in names]
    again = [pc.sum(pc.equal(c, n.strip().lower())).as_py() or 0 for n, c in zip(names, columns, strict=True)]
    if max(again) > min(again):
        return True
    for name, column in zip(names, columns, strict=True):
        values = [v for v in column.unique().to_pylist()[:COMPARED] if v]
        alike = sum(1 for v in values if _shape(v) == _shape(name.strip().lower()))
        if re.search(r"\d", name) and alike > len(values) / 2:
            return True
    return False


def _shape(text: str) -> str:
    return re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "0", text))
