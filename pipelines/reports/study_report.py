"""The report of the study: tables as CSV, figures and one page; the rows behind it are in sources.py."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.deliveries import ledger
from pipelines.figures.words import printed
from pipelines.figures.write import write_figures
from pipelines.query_files import write_to_decide
from pipelines.reports.pages import RULES, inlined, note_of, page, reading, rows_of
from pipelines.reports.reader_agreement import reader_agreement, write_readers
from pipelines.reports.sources import write_sources
from pipelines.reports.statistics import statistics
from pipelines.reports.subjects import write_subjects
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb

CSV_TABLES = {
    "table1": "row_no", "table2": "row_no", "table3": "row_no", "pfs_summary": "paramcd", "subject_flow": "step_no",
    "response_by_anatomic_site": "anatomic_site", "response_by_centre": "centre, response_basis",
    "toxicity": "toxicity_group", "toxicity_windows": "analysis_window, term_level, term", "exposure": "row_no",
    "response_by_level": "level", "recurrences": "grouping, group_key", "sensitivity": "analysis, paramcd",
    "reconciliation": "fact_id", "survival_summary": "paramcd, grouping, group_key",
    "survival_at_times": "paramcd, grouping, group_key, t_months",
    "cumulative_incidence": "paramcd, evntdesc, t_months", "centre_funnel": "measure, centre, limits_pct",
}  # fmt: skip
PRINTED = ("table1", "table2", "table3", "exposure")
RESPONSE = "n, n_cr, n_pr, n_sd, n_pd, n_ne, orr_pct, orr_lcl, orr_ucl, dcr_pct, dcr_lcl, dcr_ucl"

# a row of Table III, and for each window the patients with any grade and (with worst grade 3-4)
WINDOWS = """
    select
        g.label,
        list(if(t.n_grade34 > 0, printf('%d (%d)', t.n_any, t.n_grade34), t.n_any::varchar) order by w.list_order)
    from reports.toxicity_windows t
    join study.toxicity_window w on w.code = t.analysis_window
    join study.toxicity_row g on g.code = t.term and t.term_level = 'group'
    group by g.label, g.list_order order by g.list_order
"""


def write_study(con: "duckdb.DuckDBPyConnection", home: Home) -> list[Path]:
    """Write `reports/study/`: every report table as CSV, figures and pages; returns the files.

    Input: the schemas derived, validated and reports; nothing is suppressed, the folder stays inside. Equal tables give
    equal bytes. Source: QUALITY, The report; the paper's Tables I-III.
    """
    folder = home.reports / "study"
    folder.mkdir(parents=True, exist_ok=True)
    with reading(con):
        written = [_csv(con, f"reports.{table}", order, folder) for table, order in CSV_TABLES.items()]
        written.append(write_to_decide(con, folder))
        written += write_readers(con, folder)
        written += write_figures(con, folder / "figures", note_of(home))
        values = (
            _head(con, home) | _survival(con) | statistics(con) | _tables(con) | reader_agreement(con) | _findings(con)
        )
        written.append(page("study.html", folder / "report.html", figures=inlined(folder / "figures"), **values))
    return [*written, write_sources(con, home), write_subjects(con, home)]


def _csv(con: "duckdb.DuckDBPyConnection", full_name: str, order: str, folder: Path) -> Path:
    path = folder / f"{full_name.split('.')[1]}.csv"
    target = study.sql_literal(str(path))
    con.execute(f"copy (from {full_name} order by {order}) to {target} (format csv, header true)")
    return path


def _head(con: "duckdb.DuckDBPyConnection", home: Home) -> dict[str, Any]:
    """What the report is about: versions, data cut, headline counts, who was left out, which files it rests on."""
    counted = con.execute("select sum(n_cr + n_pr), sum(n) from reports.response_by_anatomic_site").fetchall()
    responded, sites = counted[0]
    centres = con.execute("select centre from study.centres").fetchall()
    cuts = [in_force.extract_date for (name,) in centres if (in_force := ledger.in_force(home, name))]
    return {
        "title": study.title("en"), "note": note_of(home),
        "version": study.read_yaml(study.STUDY / "protocol.yaml")["version"],
        "data_cut": " to ".join(dict.fromkeys((min(cuts), max(cuts)))) if cuts else "unknown",
        "confidence": study.protocol()["confidence_pct"]["value"],
        "n_eligible": con.execute("select count(*) from derived.adsl where eligible_fl = 'Y'").fetchall()[0][0],
        "orr": f"{responded} of {sites}" if sites else "none",
        "excluded": con.execute("""
            select usubjid, status, coalesce(reasons, main_reason) from validated.eligibility
            where status <> 'eligible' order by usubjid limit 500
        """).fetchall(),
        "received": con.execute("""
            select centre, delivery_id, source_file, source, n_rows from slice.main.staged_received
            where source is not null order by all
        """).fetchall(),
    }  # fmt: skip


def _survival(con: "duckdb.DuckDBPyConnection") -> dict[str, Any]:
    """Medians with limits and ranges, each endpoint with its own decimals."""
    declared = {endpoint["paramcd"]: endpoint for endpoint in study.endpoints()}
    whole = study.protocol()["decimals_range"]["value"]
    pfs = rows_of(con, """
        select s.* from reports.pfs_summary s
        join (select distinct paramcd, endpoint_order from study.endpoints) using (paramcd) order by endpoint_order
    """)  # fmt: skip
    for p in pfs:
        endpoint = declared[p["paramcd"]]
        # competing events together are the curve of another endpoint
        p["curve"] = not any("competing" in event for event in endpoint["events"])
        p["headline"] = endpoint.get("headline", False)
        p["label"], p["range"] = endpoint["param"], "-".join(printed(p[m], whole) for m in ("min_months", "max_months"))
        for name in ("median_months", "median_lcl", "median_ucl"):
            p[name] = printed(p[name], endpoint["decimals"])
    shown = ("label", "n", "n_event", "n_censored", "median_months", "median_lcl", "median_ucl", "range")
    failures = con.execute("""
        select any_value(a.param), coalesce(a.evntdesc, 'Censored'), count(*) from derived.adtte a
        where paramcd in (select paramcd from study.endpoints where competing is not null)
        group by a.paramcd, a.evntdesc
        order by a.paramcd, a.evntdesc is null, count(*) desc, a.evntdesc
    """).fetchall()
    return {
        "endpoints": study.endpoints(), "pfs": pfs, "failures": failures,
        "pfs_rows": [[p[name] for name in shown] for p in pfs if p["curve"]],
        "sensitivity": _sensitivity(con),
    }  # fmt: skip


def _sensitivity(con: "duckdb.DuckDBPyConnection") -> list[list[Any]]:
    """Each analysis beside the main one, at the decimals of the endpoint; a sum of medians has neither n nor limits."""
    decimals = {endpoint["paramcd"]: endpoint["decimals"] for endpoint in study.endpoints()}
    main = dict(con.execute("select paramcd, median_months from reports.pfs_summary").fetchall())
    beside = {a["analysis"]: a["beside"] for a in study.sensitivity() if "beside" in a}
    order = [a["analysis"] for a in study.sensitivity()]
    found = rows_of(con, "from reports.sensitivity order by analysis, paramcd")
    shown: list[list[Any]] = []
    for r in sorted(found, key=lambda r: order.index(r["analysis"])):
        other = beside.get(r["analysis"], r["paramcd"])
        middle, lcl, ucl = (printed(r[f"median_{name}"], decimals[other]) for name in ("months", "lcl", "ucl"))
        limits = [r["n"], r["n_event"], middle, lcl, ucl] if r["n"] is not None else ["–", "–", middle, "–", "–"]
        difference: Any = "–"
        if r["difference_months"] is not None:
            difference = str(Decimal(printed(r["difference_months"], decimals[other])) + 0)  # no minus before nothing
        # said once for the endpoints that it looks at
        told = r["why"] if r["why"] not in (row[0] for row in shown) else ""
        shown.append([told, r["paramcd"], *limits, printed(main.get(other), decimals[other]), difference])
    return shown


def _tables(con: "duckdb.DuckDBPyConnection") -> dict[str, Any]:
    """The paper's tables, responses and toxicity; percentages rounded as the protocol prints them."""
    decimals = study.protocol()["decimals_percent"]["value"]

    def rates(query: str) -> list[list[Any]]:
        return [cells(row, decimals, "–") for row in con.execute(query).fetchall()]

    return {
        **{name: rows_of(con, f"from reports.{name} order by row_no") for name in PRINTED},
        "behind": {row[0] for row in con.execute("select distinct row_key from reports.table_sources").fetchall()},
        "by_site": rates(f"""
            select a.label, {RESPONSE} from reports.response_by_anatomic_site r
            join study.anatomic_site a on a.code = r.anatomic_site order by a.list_order
        """),
        "by_level": rates(f"""
            select case level when 'patients' then 'Patients (worst site)' when 'lesions' then 'Irradiated lesions'
                else 'Irradiated sites' end, {RESPONSE}
            from reports.response_by_level order by level <> 'patients', level
        """),
        "recurrences": con.execute("""
            select label, counted_as, n_lesions, n_patients, n_with_new_lesion from reports.recurrences
            where grouping = 'field_relation' order by group_key
        """).fetchall(),
        "second_progressions": con.execute("""
            select label, n_patients, n_with_new_lesion from reports.recurrences
            where grouping = 'second_progression' order by group_key
        """).fetchall(),
        "by_centre": rates(f"""
            select centre, case response_basis when 'first_line' then 'pazopanib' else 'radiotherapy' end, {RESPONSE}
            from reports.response_by_centre
            order by centre_kind, centre, response_basis
        """),
        "toxicity": rates("""
            select g.label, n_denominator, n_any, pct_any, pct_any_lcl, pct_any_ucl,
                n_grade34, pct_grade34, pct_grade34_lcl, pct_grade34_ucl
            from reports.toxicity t join study.toxicity_row g on g.code = t.toxicity_group order by g.list_order
        """),
        "windows": [
            row[0] for row in con.execute("select label from study.toxicity_window order by list_order").fetchall()
        ],
        "by_window": [[label, *counts] for label, counts in con.execute(WINDOWS).fetchall()],
        "acute_days": study.protocol()["acute_days"]["value"],
    }


def _findings(con: "duckdb.DuckDBPyConnection") -> dict[str, Any]:
    """The paper against the data, and the findings by what they ask for and by rule."""
    return {
        "statuses": con.execute(
            "select status, count(*) from reports.reconciliation group by status order by status"
        ).fetchall(),
        "reconciliation": rows_of(
            con, "from reports.reconciliation order by status <> 'differs', status <> 'misprint', fact_id"
        ),
        "findings": con.execute("""
            select severity, state, count(*), count(distinct usubjid), count(distinct centre)
            from validated.findings group by all order by count(*) desc, severity, state
        """).fetchall(),
        "rules": con.execute(RULES).fetchall(),
    }


def cells(row: Sequence[Any], decimals: int, unknown: str) -> list[Any]:
    """A row as it is printed: measured numbers rounded half up, counts and texts as they are."""
    return [unknown if v is None else Decimal(printed(v, decimals)) if isinstance(v, float) else v for v in row]
