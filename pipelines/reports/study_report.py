"""The report of the study: tables as CSV, figures, one page, and the rows of the hospitals' files behind it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.reports.pages import RULES, note_of, page, reading, rows_of
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb

CSV_TABLES = {
    "table1": "row_no", "table2": "row_no", "table3": "row_no", "pfs_summary": "paramcd", "subject_flow": "step_no",
    "response_by_anatomic_site": "anatomic_site", "response_by_centre": "centre, response_basis",
    "toxicity": "toxicity_group", "reconciliation": "fact_id",
}  # fmt: skip
ROWS_SHOWN = 60  # of the rows behind one figure; the table reports.table_sources holds all of them
RESPONSE = "n, n_cr, n_pr, n_sd, n_pd, n_ne, round(orr_pct), round(orr_lcl), round(orr_ucl), round(dcr_pct)"
RESPONSE_COLUMNS = ["n", "CR", "PR", "SD", "PD", "NE", "ORR %", "from", "to", "DCR %"]


def write_study(con: "duckdb.DuckDBPyConnection", home: Home) -> list[Path]:
    """Write `reports/study/`: every report table as CSV, figures, report.html and sources.html; returns the files.

    Input: the schemas derived, validated and reports; nothing is suppressed, the folder stays inside. Equal tables give
    equal bytes. Source: QUALITY, The report; the paper's Tables I-III.
    """
    from pipelines.figures import write_figures

    folder = home.reports / "study"
    folder.mkdir(parents=True, exist_ok=True)
    with reading(con):
        written = [_csv(con, f"reports.{table}", order, folder) for table, order in CSV_TABLES.items()]
        written += write_figures(con, folder / "figures", note_of(home))
        written.append(page("study.html", folder / "report.html", **_study_values(con, home)))
        written.append(page("sources.html", folder / "sources.html", **_sources_values(con, home)))
    return written


def _csv(con: "duckdb.DuckDBPyConnection", full_name: str, order: str, folder: Path) -> Path:
    path = folder / f"{full_name.split('.')[1]}.csv"
    target = study.sql_literal(str(path))
    con.execute(f"copy (from {full_name} order by {order}) to {target} (format csv, header true)")
    return path


def _study_values(con: "duckdb.DuckDBPyConnection", home: Home) -> dict[str, Any]:
    figures = {path.stem: _inline(path) for path in sorted((home.reports / "study" / "figures").glob("*.svg"))}
    range_decimals = study.protocol()["decimals_range"]["value"]
    pfs = rows_of(con, "from reports.pfs_summary order by paramcd")
    decimals = {endpoint["paramcd"]: endpoint["decimals"] for endpoint in study.endpoints()}
    (responded, sites) = con.execute(
        "select sum(n_cr + n_pr), sum(n) from reports.response_by_anatomic_site"
    ).fetchall()[0]
    return {
        "title": study.protocol()["study_title"]["value"],
        "note": note_of(home),
        "figures": figures,
        "km": [name for name in figures if name.startswith("km_")],
        "n_eligible": con.execute("select count(*) from derived.adsl where eligible_fl = 'Y'").fetchall()[0][0],
        "pfs": [
            {
                "paramcd": p["paramcd"],
                "median": _printed(p["median_months"], decimals[p["paramcd"]]),
                "range": f"{_printed(p['min_months'], range_decimals)}-{_printed(p['max_months'], range_decimals)}",
            }
            for p in pfs
        ],
        "orr": f"{responded} of {sites}" if sites else "none",
        "excluded": con.execute(
            "select usubjid, status, main_reason, reasons from validated.eligibility where status <> 'eligible' "
            "order by usubjid limit 500"
        ).fetchall(),
        **{name: rows_of(con, f"from reports.{name} order by row_no") for name in ("table1", "table2", "table3")},
        "behind": {row[0] for row in con.execute("select distinct row_key from reports.table_sources").fetchall()},
        "pfs_columns": ["Endpoint", "n", "Events", "Censored", "Median", "from", "to", "Shortest", "Longest"],
        "pfs_rows": [
            [v if isinstance(v, str | int) else _printed(v, decimals[p["paramcd"]]) for v in p.values()] for p in pfs
        ],
        "response_columns": ["Anatomic site", *RESPONSE_COLUMNS],
        "by_site": con.execute(
            f"select a.label, {RESPONSE} from reports.response_by_anatomic_site r "
            "join study.anatomic_site a on a.code = r.anatomic_site order by a.list_order"
        ).fetchall(),
        "centre_columns": ["Centre", "Basis", *RESPONSE_COLUMNS],
        "by_centre": con.execute(
            f"select centre, response_basis, {RESPONSE} from reports.response_by_centre "
            "order by centre_kind, centre, response_basis"
        ).fetchall(),
        "toxicity_columns": ["Toxicity", "Any grade", "%", "from", "to", "Grade 3-4", "%", "from", "to"],
        "toxicity": con.execute("""
            select g.label, n_any, round(pct_any), round(pct_any_lcl), round(pct_any_ucl),
                n_grade34, round(pct_grade34), round(pct_grade34_lcl), round(pct_grade34_ucl)
            from reports.toxicity t join study.toxicity_row g on g.code = t.toxicity_group order by g.list_order
        """).fetchall(),
        "statuses": con.execute(
            "select status, count(*) from reports.reconciliation group by status order by status"
        ).fetchall(),
        "reconciliation": rows_of(
            con, "from reports.reconciliation order by status <> 'differs', status <> 'misprint', fact_id"
        ),
        "rules": con.execute(RULES).fetchall(),
        "received": con.execute("""
            select centre, delivery_id, source_file, source, n_rows from slice.main.staged_received
            where source is not null order by all
        """).fetchall(),
    }  # fmt: skip


def _inline(path: Path) -> str:
    """An SVG without its prologue, to stand inside a page."""
    text = path.read_text(encoding="utf-8")
    return text[text.index("<svg") :]


def _printed(value: float | None, decimals: int) -> str:
    """A number as it is printed: rounded half up, or that it was not reached."""
    from decimal import ROUND_HALF_UP, Decimal

    if value is None:
        return "not reached"
    return str(Decimal(repr(value)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP))


def _sources_values(con: "duckdb.DuckDBPyConnection", home: Home) -> dict[str, Any]:
    """Each printed row with the first of the records behind it, and each record as it came."""
    con.execute(f"""
        create or replace temp table shown as
        select * from reports.table_sources
        qualify row_number() over (
            partition by row_key order by usubjid, centre, source_file, source_row
        ) <= {ROWS_SHOWN}
    """)
    _landed(con, home)
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in rows_of(con, """
        select s.*, l.raw from temp.shown s left join temp.raw_rows l using (centre, source_file, source_row)
        order by row_key, usubjid, centre, source_file, try_cast(source_row as int), source_row
    """):  # fmt: skip
        rows.setdefault(row["row_key"], []).append({**row, "raw": _as_it_came(row["raw"])})
    printed = rows_of(con, """
        select t.row_key, t.label, t.section, t.value_text, s.n_rows, s.n_subjects
        from (
            select 1 as no, * from reports.table1
            union all select 2, * from reports.table2
            union all select 3, * from reports.table3
        ) t
        join (
            select row_key, count(*) as n_rows, count(distinct usubjid) as n_subjects
            from reports.table_sources group by row_key
        ) s using (row_key) order by t.no, t.row_no
    """)  # fmt: skip
    sections = [{**p, "label": f"{p['section']}: {p['label']}", "rows": rows[p["row_key"]]} for p in printed]
    return {"title": "Rows behind the tables", "note": note_of(home), "sections": sections}


def _as_it_came(raw: str | None) -> list[tuple[str, str]]:
    """The cells of a landed row that hold something, by the hospital's own column names."""
    import json

    cells = json.loads(raw or "{}")
    return [(name, text) for name, text in cells.items() if text and name not in ("source_file", "source_row")]


def _landed(con: "duckdb.DuckDBPyConnection", home: Home) -> None:
    """temp.raw_rows: the shown records as their hospital wrote them, from what was landed."""
    con.execute(
        "create or replace temp table raw_rows (centre varchar, source_file varchar, source_row varchar, raw varchar)"
    )
    in_force = con.execute(
        "select distinct centre, delivery_id, source from slice.main.staged_received where source is not null"
    )
    for centre, delivery_id, source in in_force.fetchall():
        path = home.landed / centre / delivery_id / f"{source}.parquet"
        if path.exists():
            con.execute(f"""
                insert into raw_rows
                select {study.sql_literal(centre)}, source_file, source_row, to_json(l)::varchar
                from (select * exclude (delivery_id, file_sha256) from {study.sql_literal(str(path))}) l
                semi join (from temp.shown where centre = {study.sql_literal(centre)}) using (source_file, source_row)
            """)
    # a file that is read as several sources holds each record once for every source
    con.execute("""
        create or replace temp table raw_rows as from raw_rows
        qualify row_number() over (partition by centre, source_file, source_row order by raw) = 1
    """)
