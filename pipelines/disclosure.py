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

    Primary: every count from 1 to `bound` - 1. Complementary, where the total is known: the smallest other cells are
    hidden too until at least two are hidden and hold `bound` or more together, so that no difference from the total
    gives one away (two hidden cells that hold 2 are 1 and 1). Zeros are shown otherwise: they name nobody. A breakdown
    whose total is itself small cannot be saved by hiding cells: suppress the total. Source: QUALITY, small counts;
    the bound is `small_cell_bound` of the protocol.
    """
    hidden = {i for i, n in enumerate(counts) if 0 < n < bound}
    if total_known and hidden:
        others = sorted((n == 0, n, i) for i, n in enumerate(counts) if i not in hidden)  # a zero protects least
        for _, _, i in others:
            if len(hidden) > 1 and sum(counts[j] for j in hidden) >= bound:
                break
            hidden.add(i)
    return [None if i in hidden else n for i, n in enumerate(counts)]


def suppress_rows(rows: Sequence[Mapping[str, object]], count: str, bound: int) -> list[dict[str, object]]:
    """Rows of one breakdown whose column `count` is suppressed; every other column of a hidden row is hidden with it,
    except its first, which names the row."""
    shown = suppress([int(str(row[count])) for row in rows], bound)
    return [
        dict(row) if n is not None else {key: row[key] if i == 0 else None for i, key in enumerate(row)}
        for row, n in zip(rows, shown, strict=True)
    ]
