"""The report of one centre, in its language: what it sent, what was left out and why, what is asked of it."""

import datetime
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.deliveries import ledger
from pipelines.query_words import called, field_label, short, source_labels
from pipelines.reports.pages import OPEN, TEMPLATES, note_of, page, reading, rows_of
from pipelines.warehouse import Home

MOST_CHANGES = 200  # shown one by one; the table validated.changes holds all
MOST_QUERIES = 500  # of a page that is read; queries.csv holds all

if TYPE_CHECKING:
    import duckdb

    from pipelines.centres import Centre


def write_centre(con: "duckdb.DuckDBPyConnection", home: Home, centre: "Centre", may_stay: bool = False) -> list[Path]:
    """Write `reports/centres/<centre>/`: report.html in the centre's language and its queries as xlsx and csv
    (`may_stay`: see `write_queries`).

    A centre sees its own rows in full and the others as suppressed sums. Source: QUALITY, The report to a centre.
    """
    from pipelines.queries import ask, asked
    from pipelines.query_files import write_queries
    from pipelines.reports.key_figures import key_figures
    from pipelines.reports.pictures import pictures

    folder = home.reports / "centres" / centre.name
    t = words(centre.language)
    with reading(con):
        ask(con, home, centre.name)
        values = (
            _head(home, centre, t)
            | _received(con, home, centre.name, t)
            | _queries(con, centre.name, t)
            | pictures(con, centre.name, t)
            | _others(con, centre.name, t)
        )
        values["key_figures"] = key_figures(con, centre.name, t)
        written = [page("centre.html", folder / "report.html", t=t, language=centre.language, **values)]
        return written + write_queries(asked(con), centre.name, folder, may_stay)


def words(language: str) -> dict[str, Any]:
    """What a page says in a language, or in English; its `said` is what it calls a form or field of ours."""
    texts, labels = study.read_yaml(TEMPLATES / "texts.yaml"), called(language)
    t = dict(texts.get(language, texts["en"]))
    p = {name: about["value"] for name, about in study.protocol().items()}
    days = f" {p['restaging_days']} ± {p['restaging_tolerance_days']}"
    t["figures_what"] = {**t["figures_what"], "restaging_on_time": t["figures_what"]["restaging_on_time"] + days}
    return {**t, "language": language, "said": lambda label: labels.get(label, label)}


def _head(home: Home, centre: "Centre", t: Mapping[str, Any]) -> dict[str, Any]:
    in_force = ledger.in_force(home, centre.name)
    reply_by = ""
    if in_force:
        days = datetime.timedelta(days=study.protocol()["reply_days"]["value"])
        reply_by = str(datetime.date.fromisoformat(in_force.extract_date) + days)
    rules = sorted((study.ROOT / "expectations").rglob("*.yaml"))
    return {
        "title": f"{t['title']}: {centre.name}", "note": note_of(home), "name": centre.local_title,
        "contact": centre.contact, "study_title": study.title(centre.language),
        "version": study.protocol_version(), "n_rules": len(rules),
        "rule_version": hashlib.sha256(b"".join(path.read_bytes() for path in rules)).hexdigest()[:8],
        "delivery": in_force.name if in_force else "", "data_cut": in_force.extract_date if in_force else "",
        "reply_by": reply_by, "bound": study.protocol()["small_cell_bound"]["value"],
    }  # fmt: skip


def _received(con: "duckdb.DuckDBPyConnection", home: Home, centre: str, t: Mapping[str, Any]) -> dict[str, Any]:
    """What came, source by source beside the delivery before, and what of it was left out or rejected."""
    from pipelines.queries import sources, unmapped_codes

    called = source_labels(t["language"], sources(centre), and_more=True)

    mine = f"centre = {study.sql_literal(centre)}"
    rows = rows_of(con, f"""
        with mine as (from slice.main.staged_source_counts where {mine}),
        counted as (select *, (select max(n_delivery) from mine) - n_delivery as n_back from mine),
        before as (select source, n_rows as n_before from counted where n_back = 1),
        now as (
            select source, min(source_file) as file, count(*) as n_files, sum(n_rows)::bigint as n,
                min(file_sha256) as sha256
            from slice.main.staged_received where {mine} and source is not null group by source
        )
        select *, (select count(*) from before) > 0 as has_before
        from now full join before using (source) order by file is null, file, source
    """)  # fmt: skip
    has_before = any(row["has_before"] for row in rows)
    dropped = con.execute(f"""
        select min(source_file), count(distinct source_file), reason, count(*) from slice.main.staged_dropped
        where {mine} group by reason order by reason
    """).fetchall()
    return {
        "has_before": has_before,
        "received": [_source(row, called.get(row["source"], ""), has_before, t) for row in rows],
        "deliveries": [
            (d.name, d.received[:10], d.extract_date if d.dated else "", t["words"].get(state, state.replace("_", " ")),
             d.n_rows or "")
            for d, state in ledger.standing(home, centre)
        ],
        "changes": _changes(con, mine, t), "changed": _changed(con, mine, t), "most_changes": MOST_CHANGES,
        "dropped": [
            (t["words"].get(reason, reason.replace("_", " ")), _files(file, n_files, t), n)
            for file, n_files, reason, n in dropped
        ],
        "unmapped": unmapped_codes(con, f"(from slice.main.staged_findings where {mine})"),
        "rejected": _rejected(home, centre, t),
    }  # fmt: skip


def _source(row: Mapping[str, Any], forms: str, has_before: bool, t: Mapping[str, Any]) -> list[Any]:
    """One line of what was received: the forms that are made from it; its file, or how many of them."""
    n, n_files = row["n"] or 0, row["n_files"] or 0
    change = n - (row["n_before"] or 0)
    since = [row["n_before"] or 0, f"{change:+}" if change else 0] if has_before else []
    return [forms, _files(row["file"], n_files, t), n, *since, row["sha256"][:12] if n_files == 1 else ""]


def _files(file: str, n: int, t: Mapping[str, Any]) -> str:
    return file if n == 1 else f"{n} {t['files'].lower()}" if n else str(t["file_missing"])


def _queries(con: "duckdb.DuckDBPyConnection", centre: str, t: Mapping[str, Any]) -> dict[str, Any]:
    """The first queries by priority, and within it those together for which the same is to be done; and the notes."""
    from pipelines.queries import asked

    groups: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for q in (shown := list(asked(con, MOST_QUERIES))):
        groups.setdefault(q["priority"], {}).setdefault(q["action"], []).append(q)
    counted = dict(con.execute("select priority, count(*) from temp.asked group by all").fetchall())
    noted = con.execute(f"""
        with own as (
            select usubjid, min(local_id) as local_id from slice.main.staged_links
            where centre = {study.sql_literal(centre)} group by usubjid
        )
        select o.local_id, f.local_message, f.table_name, f.field, f.source_file, f.source_row
        from validated.findings f left join own o using (usubjid)
        where f.centre = {study.sql_literal(centre)} and f.severity = 'note'
        order by f.local_message, o.local_id, f.field, f.source_file, f.source_row, f.table_name limit {MOST_QUERIES}
    """).fetchall()
    return {
        "groups": [(priority, counted[priority], list(those.items())) for priority, those in groups.items()],
        "n_queries": sum(counted.values()), "n_shown": len(shown),
        "notes": [
            (own or "–", problem, t["said"](field_label(table, field or "")), *place)
            for own, problem, table, field, *place in noted
        ],
    }  # fmt: skip


def _others(con: "duckdb.DuckDBPyConnection", centre: str, t: Mapping[str, Any]) -> dict[str, Any]:
    """Patients and open queries of this centre, and of all others together."""
    from pipelines.disclosure import suppress

    mine = f"centre = {study.sql_literal(centre)}"
    own, others = con.execute(f"""
        with person as (select usubjid, bool_or({mine}) as is_mine from harmonised.links group by usubjid),
        asked as (select {mine} as is_mine from validated.findings where {OPEN})
        select count(*) filter (is_mine), (select count(*) from asked where is_mine) from person
        union all
        select count(*) filter (not is_mine), (select count(*) from asked where not is_mine) from person
    """).fetchall()
    bound = study.protocol()["small_cell_bound"]["value"]
    shown = ["–" if n is None else n for n in (suppress([x], bound, total_known=False)[0] for x in others)]
    return {"others": [[t["yours"], *own], [t["other"], *shown]]}


def _changes(con: "duckdb.DuckDBPyConnection", mine: str, t: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Form, kind of change and number of records, of the newest delivery against what was there before."""
    rows = con.execute(f"""
        select table_name, change, count(distinct record_key) from slice.main.staged_changes
        where {mine} group by all order by all
    """).fetchall()
    return [(t["said"](_form(table)), t["words"].get(change, change), n) for table, change, n in rows]


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
        (
            own,
            t["said"](_form(table)),
            record,
            t["words"].get(change, change),
            t["said"](labels.get((table, field), field or "")),
            *rest,
        )
        for table, own, record, change, field, *rest in rows
    ]


def _form(table: str) -> str:
    return short(study.staged_tables()[table].label)


def _rejected(home: Home, centre: str, t: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Deliveries that were rejected since the one in force, a row per reason, as far as we can in its language."""
    last = ledger.in_force(home, centre)
    return [
        (delivery.name, why(reason, t))
        for delivery in ledger.read(home)
        if delivery.centre == centre and delivery.state == "rejected" and (last is None or delivery.order > last.order)
        for reason in delivery.reasons
    ]


def why(reason: str, t: Mapping[str, Any]) -> str:
    """A reason for rejection, which the archive holds in English, with its commonest parts in another language."""
    for english, local in t["rejections"].items():
        reason = re.sub(english, local, reason)
    return reason
