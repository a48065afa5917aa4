"""What people read: the study's report with its tables and figures, one report a centre, and the way to all of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb

    from pipelines.centres import Centre

TEMPLATES = Path(__file__).resolve().parent / "templates"
CSV_TABLES = {
    "table1": "row_no", "table2": "row_no", "table3": "row_no", "pfs_summary": "paramcd", "subject_flow": "step_no",
    "response_by_anatomic_site": "anatomic_site", "response_by_centre": "centre, response_basis",
    "toxicity": "toxicity_group", "reconciliation": "fact_id",
}  # fmt: skip
RULES = """
    select rule_id, any_value(title), any_value(severity), sum(n_checked)::bigint, sum(n_failed)::bigint
    from validated.rule_counts group by rule_id order by sum(n_failed) desc, rule_id
"""
ROWS_SHOWN = 60  # of the rows behind one figure; the table reports.table_sources holds all of them


@contextmanager
def reading(con: "duckdb.DuckDBPyConnection") -> Iterator["duckdb.DuckDBPyConnection"]:
    """Plain names mean the warehouse inside this block."""
    con.execute("use store")
    try:
        yield con
    finally:
        con.execute("use memory")


def rows_of(con: "duckdb.DuckDBPyConnection", query: str) -> list[dict[str, Any]]:
    """A query's rows by column name."""
    cursor = con.execute(query)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def page(template: str, path: Path, **values: Any) -> Path:
    """Write one self-contained page; every value is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(environment.get_template(template).render(**{"language": "en", **values}), encoding="utf-8")
    return path


def note_of(home: Home) -> str:
    """The line that says that the data is invented; deliveries that were simulated have their truth beside them."""
    return "Synthetic cohort: every patient is invented" if (home.root / "truth").is_dir() else ""


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
    shown = study.protocol()["decimals_months"]["value"], study.protocol()["decimals_range"]["value"]
    pfs = rows_of(con, "from reports.pfs_summary order by paramcd")
    (responded, sites) = con.execute(
        "select sum(n_cr + n_pr), sum(n) from reports.response_by_anatomic_site"
    ).fetchall()[0]
    response = "n, n_cr, n_pr, n_sd, n_pd, n_ne, round(orr_pct), round(orr_lcl), round(orr_ucl), round(dcr_pct)"
    heads = ["n", "CR", "PR", "SD", "PD", "NE", "ORR %", "from", "to", "DCR %"]
    return {
        "title": study.protocol()["study_title"]["value"],
        "note": note_of(home),
        "figures": figures,
        "km": [name for name in figures if name.startswith("km_")],
        "n_eligible": con.execute("select count(*) from derived.adsl where eligible_fl = 'Y'").fetchall()[0][0],
        "pfs": [
            {
                "paramcd": p["paramcd"],
                "median": _printed(p["median_months"], shown[0]),
                "range": f"{_printed(p['min_months'], shown[1])}-{_printed(p['max_months'], shown[1])}",
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
        "pfs_rows": [[v if isinstance(v, str | int) else _printed(v, shown[0]) for v in p.values()] for p in pfs],
        "response_columns": ["Anatomic site", *heads],
        "by_site": con.execute(
            f"select a.label, {response} from reports.response_by_anatomic_site r "
            "join study.anatomic_site a on a.code = r.anatomic_site order by a.list_order"
        ).fetchall(),
        "centre_columns": ["Centre", "Basis", *heads],
        "by_centre": con.execute(
            f"select centre, response_basis, {response} from reports.response_by_centre order by centre_kind, centre, response_basis"
        ).fetchall(),
        "toxicity_columns": ["Toxicity", "Any grade", "%", "from", "to", "Grade 3-4", "%", "from", "to"],
        "toxicity": con.execute("""
            select g.label, n_any, round(pct_any), round(pct_any_lcl), round(pct_any_ucl), n_grade34, round(pct_grade34),
                round(pct_grade34_lcl), round(pct_grade34_ucl)
            from reports.toxicity t join study.toxicity_row g on g.code = t.toxicity_group order by g.list_order
        """).fetchall(),
        "statuses": con.execute("select status, count(*) from reports.reconciliation group by status order by status").fetchall(),
        "reconciliation": rows_of(con, "from reports.reconciliation order by status <> 'differs', status <> 'misprint', fact_id"),
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
        qualify row_number() over (partition by row_key order by usubjid, centre, source_file, source_row) <= {ROWS_SHOWN}
    """)
    _landed(con, home)
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in rows_of(con, """
        select s.*, l.raw from temp.shown s left join temp.raw_rows l using (centre, source_file, source_row)
        order by row_key, usubjid, centre, source_file, try_cast(source_row as int), source_row
    """):  # fmt: skip
        rows.setdefault(row["row_key"], []).append(row)
    printed = rows_of(con, """
        select t.row_key, t.label, t.section, t.value_text, s.n_rows, s.n_subjects
        from (select 1 as no, * from reports.table1 union all select 2, * from reports.table2 union all select 3, * from reports.table3) t
        join (select row_key, count(*) as n_rows, count(distinct usubjid) as n_subjects from reports.table_sources group by 1) s
        using (row_key) order by t.no, t.row_no
    """)  # fmt: skip
    sections = [{**p, "label": f"{p['section']}: {p['label']}", "rows": rows[p["row_key"]]} for p in printed]
    return {"title": "Rows behind the tables", "note": note_of(home), "sections": sections}


def _landed(con: "duckdb.DuckDBPyConnection", home: Home) -> None:
    """temp.raw_rows: the shown records as their hospital wrote them, from the landed files of the deliveries in force."""
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
                from (select * exclude (delivery_id, file_sha256) from read_parquet({study.sql_literal(str(path))})) l
                semi join (from temp.shown where centre = {study.sql_literal(centre)}) using (source_file, source_row)
            """)
    con.execute(
        "create or replace temp table raw_rows as from raw_rows qualify row_number() over (partition by centre, source_file, source_row order by raw) = 1"
    )


def write_centre(con: "duckdb.DuckDBPyConnection", home: Home, centre: "Centre") -> list[Path]:
    """Write `reports/centres/<centre>/`: report.html in the centre's language and its queries as xlsx and csv.

    A centre sees its own rows in full and the others as suppressed sums. Source: QUALITY, The report to a centre.
    """
    from pipelines.queries import centre_queries, write_queries

    folder = home.reports / "centres" / centre.name
    texts = study.read_yaml(TEMPLATES / "texts.yaml")
    t = texts.get(centre.language, texts["en"])
    with reading(con):
        queries = centre_queries(con, home, centre.name)
        values = {**_centre_values(con, home, centre.name, t), "queries": queries}
        written = [
            page("centre.html", folder / "report.html", t=t, language=centre.language, name=centre.title, **values)
        ]
        return written + write_queries(con, home, centre.name, folder)


def _centre_values(con: "duckdb.DuckDBPyConnection", home: Home, centre: str, t: Mapping[str, str]) -> dict[str, Any]:
    from pipelines.disclosure import suppress

    mine = f"centre = {study.sql_literal(centre)}"
    bound = study.protocol()["small_cell_bound"]["value"]
    counts = con.execute(f"""
        select {mine} as is_mine, count(distinct usubjid), 0 from harmonised.links group by all
        union all select {mine}, 0, count(*) from validated.findings where severity in ('stop', 'exclude', 'query') group by all
    """).fetchall()
    own, others = ([sum(row[i] for row in counts if row[0] is is_mine) for i in (1, 2)] for is_mine in (True, False))
    shown = ["–" if n is None else n for n in (suppress([x], bound, total_known=False)[0] for x in others)]
    received = f"from slice.main.staged_received where {mine} and source is not null order by all"
    cut = con.execute(f"select max(delivery_id) from slice.main.staged_received where {mine}").fetchall()[0][0]
    return {
        "title": f"{t['title']}: {centre}", "note": note_of(home), "study_title": study.protocol()["study_title"]["value"],
        "version": study.read_yaml(study.STUDY / "protocol.yaml")["version"], "data_cut": cut or "",
        "reply_days": study.protocol()["reply_days"]["value"],
        "received": con.execute(f"select source_file, source, n_rows, file_sha256[:12] {received}").fetchall(),
        "dropped": con.execute(f"""
            select source_file, reason, count(*) from slice.main.staged_dropped where {mine} group by all order by all
        """).fetchall(),
        "rejected": [],
        "notes": con.execute(f"""
            select message, field, source_file, source_row from validated.findings where {mine} and severity = 'note' order by all
        """).fetchall(),
        "bound": bound, "others": [[t["yours"], *own], [t["other"], *shown]],
    }  # fmt: skip


def write_index(con: "duckdb.DuckDBPyConnection", home: Home) -> list[Path]:
    """Write `reports/index.html`: all centres at a glance, the rules by failures, links to every report."""
    with reading(con):
        centres = rows_of(con, """
            select c.centre, c.title, r.delivery as delivery, coalesce(r.n, 0) as n_received, coalesce(d.n, 0) as n_dropped,
                coalesce(l.n, 0) as n_subjects, coalesce(f.n, 0) as n_queries
            from study.centres c
            left join (select centre, max(delivery_id) as delivery, sum(n_rows)::bigint as n from slice.main.staged_received group by 1) r using (centre)
            left join (select centre, count(*) as n from slice.main.staged_dropped group by 1) d using (centre)
            left join (select centre, count(distinct usubjid) as n from harmonised.links group by 1) l using (centre)
            left join (select centre, count(*) as n from validated.findings where severity in ('stop', 'exclude', 'query') group by 1) f using (centre)
            order by c.centre_kind, c.centre
        """)  # fmt: skip
        values = {"title": study.protocol()["study_title"]["value"], "note": note_of(home), "centres": centres}
        return [page("index.html", home.reports / "index.html", **values, rules=con.execute(RULES).fetchall())]
