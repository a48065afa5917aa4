"""Independent readers in the study's report: how far they agree with the oncology centres, where there are any."""

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.figures.words import printed

if TYPE_CHECKING:
    import duckdb

CSV_TABLES = {
    "reports.reader_discordance": "eval, evalid, paramcd",
    "derived.reader_pairs": "usubjid, eval, evalid, paramcd, coalesce(adt, reader_adt), adt, reader_adt",
}
LABELS = {
    "TRGRESP": "Target lesions", "NTRGRESP": "Non-target lesions", "NEWLPROG": "New lesions",
    "OVRLRESP": "Overall response", "BOR": "Best response (patients)", "CBOR": "Best response, confirmed (patients)",
}  # fmt: skip


def reader_agreement(con: "duckdb.DuckDBPyConnection") -> dict[str, list[list[Any]]]:
    """Rows of the section: `readers`, one per reader and response, and `reader_progressions`, one per reader.

    Input: reports.reader_discordance, one row per reader and response. Both are empty without a reader.
    """
    decimals = study.protocol()["decimals_percent"]["value"]
    order = ", ".join(map(study.sql_literal, LABELS))
    named = "printf('%s (%s)', d.evalid, e.label)"
    of = "from reports.reader_discordance d join study.evaluator e on e.code = d.eval"
    counted = con.execute(f"""
        select {named}, paramcd, n, n_agree, n_disagree, pct_agree, kappa, n_centre_only, n_reader_only {of}
        where paramcd <> 'PD' order by eval, evalid, list_position([{order}], paramcd)
    """).fetchall()
    first = con.execute(f"""
        select {named}, n, n_agree, n_reader_earlier, n_reader_later, n_centre_only, n_reader_only,
            median_days_later, early_discrepancy_pct, late_discrepancy_pct {of}
        where paramcd = 'PD' order by eval, evalid
    """).fetchall()

    def shown(value: float | None, places: int) -> Decimal | str:
        return "–" if value is None else Decimal(printed(value, places))

    readers: list[list[Any]] = []
    for reader, paramcd, *counts, pct, kappa, centre_only, reader_only in counted:
        # named once, in the first of its rows
        name = "" if any(reader == row[0] for row in readers) else reader
        numbers = [*counts, shown(pct, decimals), shown(kappa, 2), centre_only, reader_only]
        readers.append([name, LABELS[paramcd], *numbers])
    return {
        "readers": readers,
        "reader_progressions": [
            [*counts, shown(days, 0), shown(early, decimals), shown(late, decimals)]
            for *counts, days, early, late in first
        ],
    }


def write_readers(con: "duckdb.DuckDBPyConnection", folder: Path) -> list[Path]:
    """The table of agreement and, for who looks into a disagreement, each pair with both reasons; none, no file."""
    written = []
    for full_name, order in CSV_TABLES.items():
        path = folder / f"{full_name.split('.')[1]}.csv"
        path.unlink(missing_ok=True)
        if con.execute(f"from {full_name} limit 1").fetchall():
            target = study.sql_literal(str(path))
            con.execute(f"copy (from {full_name} order by {order}) to {target} (format csv, header true)")
            written.append(path)
    return written
