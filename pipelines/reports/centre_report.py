"""The report of one centre, in its language: what it sent, what was left out and why, what is asked of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.reports.pages import ASKED, TEMPLATES, note_of, page, reading
from pipelines.warehouse import Home

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
        union all
        select {mine}, 0, count(*) from validated.findings where {ASKED} group by all
    """).fetchall()
    own, others = ([sum(row[i] for row in counts if row[0] is is_mine) for i in (1, 2)] for is_mine in (True, False))
    shown = ["–" if n is None else n for n in (suppress([x], bound, total_known=False)[0] for x in others)]
    received = f"from slice.main.staged_received where {mine} and source is not null order by all"
    cut = con.execute(f"select max(delivery_id) from slice.main.staged_received where {mine}").fetchall()[0][0]
    return {
        "title": f"{t['title']}: {centre}", "note": note_of(home),
        "study_title": study.protocol()["study_title"]["value"],
        "version": study.read_yaml(study.STUDY / "protocol.yaml")["version"], "data_cut": cut or "",
        "reply_days": study.protocol()["reply_days"]["value"],
        "received": con.execute(f"select source_file, source, n_rows, file_sha256[:12] {received}").fetchall(),
        "dropped": con.execute(f"""
            select source_file, reason, count(*) from slice.main.staged_dropped where {mine} group by all order by all
        """).fetchall(),
        "rejected": [],
        "notes": con.execute(f"""
            select message, field, source_file, source_row from validated.findings
            where {mine} and severity = 'note' order by all
        """).fetchall(),
        "bound": bound, "others": [[t["yours"], *own], [t["other"], *shown]],
    }  # fmt: skip
