"""The rows of the hospitals' files behind each printed figure of Tables I to III."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.deliveries.raw import cells, raw_rows
from pipelines.reports.pages import note_of, page, reading, rows_of
from pipelines.warehouse import Home, with_room

if TYPE_CHECKING:
    import duckdb

# whose endpoints subjects.html shows with their records; `restage trace --subject` leads to any other
SUBJECTS = "select usubjid from derived.adsl where eligible_fl = 'Y' order by usubjid limit 100"
ROWS_SHOWN = 60  # of the rows behind one figure; the table reports.table_sources holds all of them


def write_sources(con: "duckdb.DuckDBPyConnection", home: Home) -> Path:
    """Write `reports/study/sources.html`: for each figure its records as they came, with file and row.

    Input: reports.table1 to table3, reports.table_sources and the landed files. It stays inside.
    """
    with reading(con):
        return page("sources.html", home.reports / "study" / "sources.html", **_sources_values(con, home))


def _sources_values(con: "duckdb.DuckDBPyConnection", home: Home) -> dict[str, Any]:
    """Each printed row with the first of the records behind it, and each record as it came."""
    # the smallest subjects of each figure hold its first rows: only theirs are put in order
    statement = f"""
        create or replace temp table shown as
        with first as (
            select row_key, list_last(min(usubjid, {ROWS_SHOWN})) as last_usubjid
            from reports.table_sources group by row_key
        )
        select s.* from reports.table_sources s join first f on f.row_key = s.row_key and s.usubjid <= f.last_usubjid
        qualify row_number() over (
            partition by s.row_key order by s.usubjid, s.centre, s.source_file, s.source_row
        ) <= {ROWS_SHOWN}
    """
    with_room(con, statement)
    landed(con, home)
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in rows_of(con, """
        select s.*, l.raw from temp.shown s left join temp.raw_rows l using (centre, source_file, source_row)
        order by row_key, usubjid, centre, source_file, try_cast(source_row as int), source_row
    """):  # fmt: skip
        rows.setdefault(row["row_key"], []).append({**row, "raw": list(cells(row["raw"]).items())})
    printed = rows_of(con, """
        select t.row_key, t.label, t.section, t.value_text, s.n_rows, s.n_subjects,
            printf('table%d/%s', t.no, replace(t.row_key, '.', '/')) as cell
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
    told = {row[0] for row in con.execute(SUBJECTS).fetchall()}
    return {"title": "Rows behind the tables", "note": note_of(home), "sections": sections, "told": told}


def landed(con: "duckdb.DuckDBPyConnection", home: Home) -> None:
    """temp.raw_rows: the shown records as their hospital wrote them, from what was landed."""
    kept = " union ".join(  # records that only an earlier delivery held
        f"select centre, delivery_id, source_file, source_row from slice.main.staged_{t} where _since is not null"
        for t in study.staged_tables()
    )
    con.execute(f"""
        create or replace temp table places as
        with kept as ({kept}),
        newest as (select centre, max(delivery_id) as in_force from slice.main.staged_received group by centre)
        select distinct s.centre, s.source_file, s.source_row, coalesce(k.delivery_id, n.in_force) as delivery_id
        from temp.shown s join newest n using (centre) left join kept k using (centre, source_file, source_row)
    """)
    raw_rows(con, home)
    # a file that is read as several sources holds each record once for every source
    con.execute("""
        create or replace temp table raw_rows as from raw_rows
        qualify row_number() over (partition by centre, source_file, source_row order by raw) = 1
    """)
