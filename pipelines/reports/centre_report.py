"""The report of one centre, in its language: what it sent, what was left out and why, what is asked of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.deliveries import ledger
from pipelines.reports.pages import ASKED, TEMPLATES, note_of, page, reading
from pipelines.warehouse import Home

MOST_CHANGES = 200  # shown one by one; the table validated.changes holds all

if TYPE_CHECKING:
    import duckdb

    from pipelines.centres import Centre


def write_centre(con: "duckdb.DuckDBPyConnection", home: Home, centre: "Centre") -> list[Path]:
    """Write `reports/centres/<centre>/`: report.html in the centre's language and its queries as xlsx and csv.

    A centre sees its own rows in full and the others as suppressed sums. Source: QUALITY, The report to a centre.
    """
    from pipelines.queries import centre_queries, write_queries

    folder = home.reports / "centres" / centre.name
    texts = study.read_yaml(TEMPLATES / "texts.yaml")
    t = texts.get(centre.language, texts["en"])
    # a field of ours is named by its label; a column of the hospital's file keeps its own name
    spoken = {c.name: c.label for table in study.tables().values() for c in table.columns}
    with reading(con):
        queries = [{**q, "field": spoken.get(q["field"], q["field"])} for q in centre_queries(con, home, centre.name)]
        values = {**_centre_values(con, home, centre.name, t), "queries": queries}
        written = [
            page("centre.html", folder / "report.html", t=t, language=centre.language, name=centre.title,
                 contact=centre.contact, **values)
        ]  # fmt: skip
        return written + write_queries(con, home, centre.name, folder)


def _centre_values(con: "duckdb.DuckDBPyConnection", home: Home, centre: str, t: Mapping[str, Any]) -> dict[str, Any]:
    from pipelines.disclosure import suppress
    from pipelines.queries import unmapped_codes

    mine = f"centre = {study.sql_literal(centre)}"
    bound = study.protocol()["small_cell_bound"]["value"]
    own, others = con.execute(f"""
        with person as (select usubjid, bool_or({mine}) as is_mine from harmonised.links group by usubjid),
        asked as (select {mine} as is_mine from validated.findings where {ASKED})
        select count(*) filter (is_mine), (select count(*) from asked where is_mine) from person
        union all
        select count(*) filter (not is_mine), (select count(*) from asked where not is_mine) from person
    """).fetchall()
    shown = ["–" if n is None else n for n in (suppress([x], bound, total_known=False)[0] for x in others)]
    received = f"from slice.main.staged_received where {mine} and source is not null order by all"
    in_force = ledger.in_force(home, centre)
    dropped = con.execute(f"""
        select source_file, reason, count(*) from slice.main.staged_dropped where {mine} group by all order by all
    """).fetchall()
    return {
        "title": f"{t['title']}: {centre}", "note": note_of(home),
        "study_title": study.protocol()["study_title"]["value"],
        "version": study.protocol_version(),
        "delivery": in_force.delivery_id if in_force else "",
        "data_cut": in_force.extract_date if in_force else "",
        "reply_days": study.protocol()["reply_days"]["value"],
        "received": con.execute(f"select source_file, source, n_rows, file_sha256[:12] {received}").fetchall(),
        "deliveries": [
            (d.name, d.received[:10], d.extract_date if d.dated else "", t["words"].get(state, state.replace("_", " ")),
             d.n_rows or "")
            for d, state in ledger.standing(home, centre)
        ],
        "changes": _changes(con, mine, t), "changed": _changed(con, mine, t), "most_changes": MOST_CHANGES,
        "dropped": [(file, t["words"].get(reason, reason.replace("_", " ")), n) for file, reason, n in dropped],
        "unmapped": unmapped_codes(con, f"(from slice.main.staged_findings where {mine})"),
        "rejected": _rejected(home, centre),
        "notes": con.execute(f"""
            select local_message as message, field, source_file, source_row from validated.findings
            where {mine} and severity = 'note' order by all
        """).fetchall(),
        "bound": bound, "others": [[t["yours"], *own], [t["other"], *shown]],
    }  # fmt: skip


def _changes(con: "duckdb.DuckDBPyConnection", mine: str, t: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Form, kind of change and number of records, of the newest delivery against what was there before."""
    rows = con.execute(f"""
        select table_name, change, count(distinct record_key) from slice.main.staged_changes
        where {mine} group by all order by all
    """).fetchall()
    return [(_form(table), t["words"].get(change, change), n) for table, change, n in rows]


def _changed(con: "duckdb.DuckDBPyConnection", mine: str, t: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """The first of the records that changed, went or returned, each with the centre's own id."""
    rows = con.execute(f"""
        select table_name, local_id,
            array_to_string(list_filter(string_split(record_key, '|')[2:], lambda part: part <> ''), ', '),
            change, field, value_before, value_after, source_file, source_row
        from slice.main.staged_changes where {mine} and change <> 'added'
        order by change, table_name, local_id, record_key, field limit {MOST_CHANGES}
    """).fetchall()
    labels = {(table.name, c.name): c.label for table in study.staged_tables().values() for c in table.columns}
    return [
        (own, _form(table), record, t["words"].get(change, change), labels.get((table, field), field or ""), *rest)
        for table, own, record, change, field, *rest in rows
    ]


def _form(table: str) -> str:
    return study.staged_tables()[table].label.split(" (")[0]


def _rejected(home: Home, centre: str) -> list[tuple[str, str]]:
    """Deliveries that were rejected since the one in force, a row per reason."""
    last = ledger.in_force(home, centre)
    return [
        (delivery.name, reason)
        for delivery in ledger.read(home)
        if delivery.centre == centre and delivery.state == "rejected" and (last is None or delivery.order > last.order)
        for reason in delivery.reasons
    ]
