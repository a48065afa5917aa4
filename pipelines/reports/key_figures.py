"""The key figures of a centre, each beside its last value, the median of all centres and the limits of chance."""

from statistics import median
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.disclosure import suppress
from pipelines.figures.words import printed
from pipelines.reports.pages import rows_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import duckdb

SHARES = ("completeness", "conformance", "restaging_on_time", "response_agreement")
ORDER = (
    "completeness", "conformance", "queries_open", "queries_new", "queries_resolved", "queries_reopened", "query_age",
    "restaging_on_time", "response_agreement",
)  # fmt: skip
PARTS = ("queries_new", "queries_resolved", "queries_reopened")  # of one figure
HIDDEN = "–"


def key_figures(con: "duckdb.DuckDBPyConnection", centre: str, t: "Mapping[str, Any]") -> list[dict[str, Any]]:
    """One row per key figure in its order: label, own value, the one before, median of all centres, limits, verdict.

    Input: reports.centre_figures and reports.centre_funnel. A share of fewer than `key_figure_min_n` is not printed; a
    median or limit from which a small count of the other centres could be told is not, either.
    Source: QUALITY, The report to a centre, 2.
    """
    rows = rows_of(con, "from reports.centre_figures where n_back <= 1 order by centre, n_back")
    funnel = {
        row["measure"]: row
        for row in rows_of(con, f"""
            select * from reports.centre_funnel where centre = {study.sql_literal(centre)}
            qualify row_number() over (partition by measure order by limits_pct) = 1
        """)
    }  # fmt: skip
    found = []
    for figure in ORDER:
        of = [row for row in rows if row["figure"] == figure]
        own = {row["n_back"]: row for row in of if row["centre"] == centre}
        now = [row for row in of if row["n_back"] == 0 and row["value"] is not None]
        others = [row for row in now if row["centre"] != centre]
        comparable = _comparable(figure, others)
        limits, verdict = _limits(funnel.get(figure), t) if comparable else (HIDDEN, "")
        found.append(
            {
                "label": t["figures"][figure],
                "what": t["figures_what"][figure],
                "inner": figure in PARTS,
                "own": _own(figure, own.get(0), t),
                "before": _own(figure, own.get(1), t) if 1 in own else HIDDEN,
                "median": _median(figure, now) if comparable else HIDDEN,
                "limits": limits,
                "verdict": verdict,
            }
        )
    return found


def _own(figure: str, row: "Mapping[str, Any] | None", t: "Mapping[str, Any]") -> str:
    if row is None or (row["value"] is None and not row["n"]):
        return str(t["no_figure"])
    if figure not in SHARES:
        return _said(figure, row["value"])
    if row["n"] < study.protocol()["key_figure_min_n"]["value"]:
        return f"{t['too_small']} (n = {row['n']})"
    return f"{_said(figure, row['value'])} ({row['n_with']}/{row['n']})"


def _said(figure: str, value: float) -> str:
    """A share is never rounded to all or nothing when it is not."""
    if figure == "query_age":
        return printed(value, 0)
    if figure not in SHARES:
        return str(int(value))
    whole = printed(value, study.protocol()["decimals_percent"]["value"])
    return f"{printed(value, 1) if whole in ('0', '100') and value not in (0, 100) else whole} %"


def _comparable(figure: str, others: "Sequence[Mapping[str, Any]]") -> bool:
    """Whether the others can be spoken of together: enough centres, and no small count of theirs could be told."""
    bound = study.protocol()["small_cell_bound"]["value"]
    if len(others) + 1 < study.protocol()["comparison_min_centres"]["value"]:
        return False
    if figure in SHARES:
        n_with, n = (sum(row[name] or 0 for row in others) for name in ("n_with", "n"))
        return None not in suppress([n_with, n - n_with], bound)
    counted = sum(row["n"] or 0 if figure == "query_age" else row["value"] for row in others)
    return None not in suppress([int(counted)], bound, total_known=False)


def _median(figure: str, now: "Sequence[Mapping[str, Any]]") -> str:
    least = study.protocol()["key_figure_min_n"]["value"] if figure in SHARES else 0
    values = [row["value"] for row in now if (row["n"] or 0) >= least]
    if len(values) < study.protocol()["comparison_min_centres"]["value"]:
        return HIDDEN
    middle = median(values)
    if figure not in (*SHARES, "query_age"):
        shown = suppress([round(middle)], study.protocol()["small_cell_bound"]["value"], total_known=False)[0]
        return HIDDEN if shown is None else str(shown)
    return _said(figure, middle)


def _limits(row: "Mapping[str, Any] | None", t: "Mapping[str, Any]") -> tuple[str, str]:
    if row is None or row["flag"] is None:
        return HIDDEN, ""
    shown = "–".join(str(_said("completeness", row[name])) for name in ("lower_pct", "upper_pct"))
    return shown, str(t["verdicts"][row["flag"]])
