"""What a centre replied to its queries (the file that we sent, filled in and sent back), and what follows from it."""

from collections import defaultdict
from collections.abc import Collection
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study, warehouse
from pipelines.deliveries.changes import CHANGE
from pipelines.deliveries.history import QUERY_ID, VANISHED, rewrite, write_partial_dates
from pipelines.deliveries.ledger import Delivery, object_path
from pipelines.deliveries.manifest import NAME
from pipelines.deliveries.parts import COLUMNS, SHEET, WITHIN
from pipelines.disclosure import in_one_line, unescape_formula
from pipelines.errors import DeliveryRejected, Problem, UnreadableFile
from pipelines.staging_findings import record_sql
from pipelines.study import sql_literal as lit
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.mapping import Centre

ENCODINGS = ("utf-8-sig", "cp1252")  # as we write it, and as a spreadsheet of the centre saves it
DAYS = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y")
DELIMITERS = (";", ",", "\t")
REPLY = (*COLUMNS, "site_comment", "replied_by", "replied_on")


def read_replies(home: Home, centre: "Centre", answer: Delivery) -> list[dict[str, str | None]]:
    """The lines of an answer that hold a reply: `REPLY` columns and their place. Raises `DeliveryRejected`.

    Input grain: one row per query in `queries.csv` or `queries.xlsx`; other columns are not read, and a file without
    comment, name or day has none. A reply is lower case, its day ISO where it is one; every text is as the next list
    shows it, so that what is sent back untouched is what we have.
    Source: QUALITY, The life of a query.
    """
    found = []
    for name, about in sorted(answer.files.items()):
        if name == NAME:
            continue
        _, rows = read_answer(centre, answer, name, object_path(home, str(about["sha256"])))
        for row in rows.to_pylist():
            cells = {
                c: in_one_line(unescape_formula(row.get(c) or "")) or None
                for c in (*REPLY, "source_file", "source_row")
            }
            if reply := cells["site_reply"]:
                found.append(cells | {"site_reply": reply.lower(), "replied_on": _day(cells["replied_on"])})
    return found


def _day(text: str | None) -> str | None:
    """An ISO day whichever way a spreadsheet shows it; anything else as it stands."""
    for form in DAYS:
        with suppress(ValueError):
            return datetime.strptime(text or "", form).date().isoformat()
    return text


def replies(home: Home, centre: "Centre", answer: Delivery) -> dict[str, str]:
    """Query id -> reply; without the queries to which two lines of the answer reply differently."""
    given: dict[str, set[str]] = defaultdict(set)
    for row in read_replies(home, centre, answer):
        given[str(row["query_id"])].add(str(row["site_reply"]))
    return {query: reply for query, (reply, *other) in given.items() if not other}


def read_answer(centre: "Centre", answer: Delivery, name: str, path: Path) -> tuple[dict[str, Any], "pa.Table"]:
    """How one file of an answer is read, and its rows, all text. Raises `DeliveryRejected`.

    A spreadsheet of the centre may have saved the csv in its own encoding and with its own delimiter.
    """
    from pipelines.readers.read import read

    header = {"find": list(COLUMNS), "within": WITHIN}
    book = {"format": "xlsx", "sheet": SHEET, "header": header}
    texts = [
        {"format": "csv", "delimiter": delimiter, "header": header, "encoding": encoding}
        for delimiter in dict.fromkeys([centre.queries_delimiter, *DELIMITERS])
        for encoding in ENCODINGS
    ]
    problems: list[Problem] = []
    for spec in texts if name.lower().endswith(".csv") else [book]:
        try:
            return spec, read([(name, path)], spec)
        except UnreadableFile as error:
            problems = problems or error.problems
    raise DeliveryRejected(answer.centre, answer.name, problems)


def confirm(centre: "Centre", state: Path, delivery_id: str, query_ids: Collection[str]) -> dict[str, int]:
    """Drop the records that are brought over and whose absence the centre has confirmed; returns the rows by table.

    `query_ids` are those of the answer; the others are not about vanished records. Who confirms that a subject is gone
    confirms it for all of its records. `state` is changed in place, `changes.parquet` included.
    """
    counts, asked = {}, f"({', '.join(map(lit, ['', *sorted(query_ids)]))})"
    with closing(warehouse.memory()) as con:
        con.execute("set threads = 1; create table whole (local_id varchar)")
        con.execute(f"create table removed ({', '.join(f'{c} varchar' for c in CHANGE)})")
        con.execute(
            "create table places (table_name varchar, delivery_id varchar, source_file varchar, source_row varchar)"
        )
        for table in sorted(study.staged_tables(), key=lambda name: name != "links"):
            target, record = state / f"{table}.parquet", record_sql(centre, table)
            query_id = QUERY_ID.format(centre=lit(centre.name), record=f"coalesce({record}, '')")
            gone = f"coalesce(_since is not null and ({query_id} in {asked} or local_id in (from whole)), false)"
            rows = f"read_parquet({lit(str(target))})"
            n = con.execute(f"""
                insert into removed
                select {lit(centre.name)}, {lit(delivery_id)}, {lit(table)}, local_id, usubjid, {record}, 'removed',
                    null, null, null, source_file, source_row from {rows} where {gone}
            """).fetchall()[0][0]
            if table == "links":
                con.execute("insert into whole select local_id from removed")
            if n:
                place = f"{lit(table)}, delivery_id, source_file, source_row"
                con.execute(f"insert into places select {place} from {rows} where {gone}")
                rewrite(con, f"from {rows} where not {gone}", target)
            counts[table] = int(con.execute(f"select count(*) from {rows}").fetchall()[0][0])
        findings, changes = state / "findings.parquet", state / "changes.parquet"
        query_id = QUERY_ID.format(centre="centre", record="coalesce(record_key, '')")
        answered = f"rule_id = {lit(VANISHED)} and ({query_id} in {asked} or coalesce(local_id in (from whole), false))"
        others = f"from read_parquet({lit(str(findings))}) where not ({answered})"
        at = "using (table_name, delivery_id, source_file, source_row)"
        rewrite(con, f"from ({others}) anti join places {at}", findings)
        write_partial_dates(con, state)
        before = f"from read_parquet({lit(str(changes))}) union all" if changes.exists() else ""
        rewrite(con, f"from ({before} from removed) order by all", changes)
    return counts
