"""What leaves the house: small counts are suppressed, and no cell can run as a formula."""

from collections.abc import Mapping, Sequence

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def escape_formula(value: str) -> str:
    """A text that a spreadsheet shows and never runs: an apostrophe goes before what would start a formula.

    Plain numbers stay as they are. Source: OWASP, CSV injection.
    """
    if not value.startswith(FORMULA_STARTS):
        return value
    try:
        float(value.replace(",", "."))
    except ValueError:
        return "'" + value
    return value


def suppress(counts: Sequence[int], bound: int, total_known: bool = True) -> list[int | None]:
    """Counts of one breakdown with small cells hidden; None is hidden.

    Primary: every count from 1 to `bound` - 1. Complementary: where the total is known and exactly one cell is hidden,
    the smallest other cell is hidden too, so that no difference gives the first one away. Zeros are shown: they name
    nobody. Source: QUALITY, small counts; the bound is `small_cell_bound` of the protocol.
    """
    hidden = {i for i, n in enumerate(counts) if 0 < n < bound}
    if total_known and len(hidden) == 1:
        others = [(n, i) for i, n in enumerate(counts) if i not in hidden and n > 0]
        hidden |= {min(others)[1]} if others else set()
    return [None if i in hidden else n for i, n in enumerate(counts)]


def suppress_rows(rows: Sequence[Mapping[str, object]], count: str, bound: int) -> list[dict[str, object]]:
    """Rows of one breakdown whose column `count` is suppressed; every other column of a hidden row is hidden with it,
    except its first, which names the row."""
    shown = suppress([int(str(row[count])) for row in rows], bound)
    return [
        dict(row) if n is not None else {key: row[key] if i == 0 else None for i, key in enumerate(row)}
        for row, n in zip(rows, shown, strict=True)
    ]
