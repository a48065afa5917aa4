"""A centre's deliveries follow each other: what a new snapshot lacks stays until the centre says that it is gone."""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study, warehouse
from pipelines.deliveries.changes import write_changes
from pipelines.errors import DeliveryRejected, Problem
from pipelines.mapping import Centre
from pipelines.staging import PARQUET
from pipelines.staging_fields import quote
from pipelines.staging_findings import FINDING, fillable, key_of, partial_dates_sql, record_sql
from pipelines.staging_words import MACROS as WORDS
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

VANISHED = "structure/vanished_record"
# as sql/3_validated/findings.sql makes it, where a finding names no field
QUERY_ID = f"'Q' || left(sha256(array_to_string(['{VANISHED}', {{centre}}, {{record}}, ''], '|')), 12)"
WHAT_TO_SEND = "this record, which an earlier delivery held"


@dataclass(frozen=True)
class Step:
    """One delivery on top of the state before it. `removed`: records that its manifest takes away. `states_removals`:
    what it does not hold was taken away by the centre itself (a transactional export says so row by row)."""

    centre: Centre
    delivery_id: str
    delivery: str
    removed: Sequence[Mapping[str, str]] = ()
    states_removals: bool = False


@warehouse.again_with_room
def fold(step: Step, before: Path, draft: Path, limit: str | None = warehouse.SHARE) -> dict[str, int]:
    """Bring the records that `draft` (one delivery, just staged) lacks over from `before`, the state up to now.

    A record is told by its table's key and the centre's own id of the subject; one without a whole key is never brought
    over. Rows that are brought over keep their provenance and have `_since`, the delivery that first lacked them; each
    is a finding, unless the file that held it is missing altogether (which is one) or the whole subject is gone (which
    is one, too). Writes `changes.parquet`, one row per record and field that differs from `before`. Returns the rows of
    each table. Raises `DeliveryRejected` where the manifest removes from tables or columns that are not staged, and
    leaves `draft` as it was.
    """
    _check_removals(step)
    with (
        tempfile.TemporaryDirectory(prefix=".fold-", dir=draft.parent) as scratch,
        closing(warehouse.memory(Path(scratch), limit)) as con,
    ):
        # with one thread, and joins as they are written, rows keep their order
        con.execute("set threads = 1; set disabled_optimizers = 'build_side_probe_side'")
        tables = sorted(study.staged_tables(), key=lambda name: name != "links")
        for table in tables:
            _compare(con, step, table, before, draft)
        _link(con)
        made = Path(scratch) / "made"
        made.mkdir()
        write_changes(con, step.centre, step.delivery_id, tables, made / "changes.parquet")
        _write_findings(con, step, tables, before, draft, made)
        for table in tables:
            _write_table(con, table, made)
        # only now, so that all of it can be done again
        for path in made.iterdir():
            path.replace(draft / path.name)
        return {
            table: warehouse.count(con, f"read_parquet({lit(str(draft / f'{table}.parquet'))})") for table in tables
        }


def _check_removals(step: Step) -> None:
    """A removal names records by staged columns; without a table it takes everything of a subject away."""
    action = "Correct the manifest and send the delivery again."
    problems = []
    for number, entry in enumerate(step.removed, 1):
        table = entry.get("table")
        known = {"local_id", *(fillable(table) if table in study.staged_tables() else ())}
        if "local_id" not in entry or entry.keys() - {"table"} - known or (table and len(known) == 1):
            expected = "local_id, and columns of a staged table that it names"
            problems.append(Problem("manifest.yaml", f"removed, entry {number}", expected, action))
    if problems:
        raise DeliveryRejected(step.centre.name, step.delivery, problems)


def _compare(con: "duckdb.DuckDBPyConnection", step: Step, table: str, before: Path, draft: Path) -> None:
    """Make views `was_` and `is_`, `diff_` (pairs of rows that are not the same) and `gone_` (rows to bring over).

    Numbers stand for key and content: 64 bits each, so that two records of millions are hardly ever taken for one.
    """
    key = ["local_id", "usubjid"] if table == "links" else ["local_id", *(c for c in key_of(table) if c != "usubjid")]
    # a study code follows from the list of codes, where its change is seen
    values = ", ".join(quote(c) for c in fillable(table) if c != "usubjid" or table == "links")
    given, shape = " and ".join(f"{c} is not null" for c in key), f"hash({', '.join(key)}) as k, hash({values}) as v"
    for name, folder in (("was", before), ("is", draft)):
        con.execute(f"""
            create view {name}_{table} as
            from read_parquet({lit(str(folder / f"{table}.parquet"))}, file_row_number = true)
        """)
    con.execute(f"""
        create table diff_{table} as
        with w as (select {shape}, file_row_number as was_row, _since from was_{table} where {given}),
        i as (select {shape}, file_row_number as is_row from is_{table} where {given})
        select was_row, is_row, _since from w full join i using (k)
        where was_row is null or is_row is null or w.v <> i.v or _since is not null
    """)
    _pair_corrected_days(con, table, [c for c in key if fillable(table)[c].sql_type.lower() == "date"])
    con.execute(f"""
        create table gone_{table} as
        select w.*, d._since is null as is_new, {_is_removed(step, table)} as is_removed
        from diff_{table} d join was_{table} w on w.file_row_number = d.was_row where d.is_row is null
    """)
    if table == "links":
        # a subject with another id, or an id with another code, has changed
        con.execute("""
            delete from gone_links g using is_links i where g.local_id = i.local_id or g.usubjid = i.usubjid
        """)


def _pair_corrected_days(con: "duckdb.DuckDBPyConnection", table: str, days: Sequence[str]) -> None:
    """A record that went and one that came, equal in everything but a day of the key and the only ones so, are one."""
    if not days:
        return
    rest = ", ".join(quote(c) for c in fillable(table) if c != "usubjid" and c not in days)
    sides = {
        side: f"""
            select hash({rest}) as u, min(d.{side}_row) as {side}_row, any_value(d._since) as _since
            from diff_{table} d join {side}_{table} t on t.file_row_number = d.{side}_row
            where d.{other}_row is null group by u having count(*) = 1
        """
        for side, other in (("was", "is"), ("is", "was"))
    }
    con.execute(f"""
        create table pair_{table} as
        select was_row, is_row, w._since from ({sides["was"]}) w join ({sides["is"]}) i using (u);
        delete from diff_{table} where was_row in (select was_row from pair_{table})
            or is_row in (select is_row from pair_{table});
        insert into diff_{table} from pair_{table}
    """)


def _is_removed(step: Step, table: str) -> str:
    """SQL that is true for a row that the centre took away: by its manifest, or in a transactional export."""
    tests = ["d._since is null"] if step.states_removals else []
    for entry in step.removed:
        if entry.get("table", table) == table:
            cells = [f"coalesce(w.{quote(c)}::varchar = {lit(v)}, false)" for c, v in entry.items() if c != "table"]
            tests.append(f"({' and '.join(cells)})")
    return f"({' or '.join(tests)})" if tests else "false"


def _link(con: "duckdb.DuckDBPyConnection") -> None:
    """Make `link`, local id -> study code, from the links of now and those brought over."""
    con.execute("""
        create table link as
        select local_id, usubjid from (
            select local_id, usubjid, 0 as is_old, file_row_number from is_links
            union all select local_id, usubjid, 1, file_row_number from gone_links where not is_removed
        ) where local_id is not null and usubjid is not null
        qualify row_number() over (partition by local_id order by is_old, file_row_number) = 1;
        create table linked_again as
        select g.local_id, l.usubjid from gone_links g join link l using (local_id) where not g.is_removed
    """)


def _write_table(con: "duckdb.DuckDBPyConnection", table: str, made: Path) -> None:
    """Write the draft's rows and those brought over, where there are any or a code is known by them."""
    kept = warehouse.count(con, f"gone_{table} where not is_removed")
    relinked = f"select 1 from is_{table} where usubjid is null and local_id in (select local_id from linked_again)"
    if kept or con.execute(f"{relinked} limit 1").fetchall():
        names = [r[0] for r in con.execute(f"describe is_{table}").fetchall() if r[0] != "file_row_number"]
        code = "t.usubjid" if table == "links" else "coalesce(l.usubjid, t.usubjid)"
        cells = ", ".join(f"{code} as usubjid" if c == "usubjid" else f"t.{quote(c)}" for c in names)
        join = "t" if table == "links" else "t left join link l on l.local_id = t.local_id"
        old = f"(from gone_{table} where not is_removed order by file_row_number)"
        rows = f"select {cells} from is_{table} {join} union all select {cells} from {old} {join}"
        rewrite(con, rows, made / f"{table}.parquet")


def _write_findings(
    con: "duckdb.DuckDBPyConnection", step: Step, tables: Sequence[str], before: Path, draft: Path, made: Path
) -> None:
    """Add a finding per record that is brought over, beside those it had, and take back what an old link answers."""
    present = " union ".join(f"select local_id from is_{table}" for table in tables)
    con.execute(f"create table present as {present}")
    selects = []
    for table in tables:
        silent = [n for n, part in enumerate(step.centre.tables.get(table, ())) if not _received(con, draft, part)]
        reported = f" and _part not in ({', '.join(map(str, silent))})" if silent else ""
        # whoever is gone altogether is asked for once, by the list of codes
        whole = "" if table == "links" else f"and local_id in (from present) and not {_unclear(table)}"
        selects.append(f"""
            select {lit(step.centre.name)}, _since, {lit(table)}, local_id, usubjid, {record_sql(step.centre, table)},
                source_file, source_row, null, null, null, {lit(WHAT_TO_SEND)}, {lit(VANISHED)}, null
            from (select * replace (coalesce(_since, {lit(step.delivery_id)}) as _since) from gone_{table})
            g where not is_removed {whole}{reported}
        """)
        # what could not be read in such a record is still asked
        selects.append(f"""
            select {", ".join(FINDING)} from read_parquet({lit(str(before / "findings.parquet"))})
            semi join (from gone_{table} where not is_removed) using (delivery_id, source_file, source_row)
            where table_name = {lit(table)} and rule_id <> {lit(VANISHED)}
        """)
    code = "case when l.local_id is null then f.{0} else {1} end as {0}"
    record = code.format("record_key", "replace(f.record_key, left(sha256(f.local_id), 12), l.usubjid)")
    cells = ", ".join(
        {"usubjid": code.format("usubjid", "l.usubjid"), "record_key": record}.get(c, f"f.{c}") for c in FINDING
    )
    found = f"""
        select {cells} from read_parquet({lit(str(draft / "findings.parquet"))}) f
        left join linked_again l on l.local_id = f.local_id
        where l.local_id is null or rule_id <> 'structure/no_study_code'
    """
    rewrite(con, f"from ({found} union all {' union all '.join(selects)}) order by all", made / "findings.parquet")
    write_partial_dates(con, made)
    # a row brought over becomes one of this state, with the day since when it is missing
    for table in tables:
        con.execute(f"update gone_{table} set _since = coalesce(_since, {lit(step.delivery_id)})")


def _unclear(table: str) -> str:
    """SQL: whether a record `g` that is gone may be one that came with a part of its key unread, which is asked."""
    key = [quote(c) for c in key_of(table) if c not in ("usubjid", "local_id")]
    may_be = " and ".join(["i.local_id = g.local_id", *(f"(i.{c} is null or i.{c} = g.{c})" for c in key)])
    lacks = " or ".join(["false", *(f"i.{c} is null and g.{c} is not null" for c in key)])
    return f"exists (from is_{table} i where {may_be} and ({lacks}))"


def _received(con: "duckdb.DuckDBPyConnection", draft: Path, part: Any) -> bool:
    query = f"select 1 from read_parquet({lit(str(draft / 'received.parquet'))}) where source = {lit(part.source)}"
    return bool(con.execute(f"{query} limit 1").fetchall())


def write_partial_dates(con: "duckdb.DuckDBPyConnection", state: Path) -> None:
    """Make a state's partial dates anew from its findings: those of records that were brought over stay, and go."""
    con.execute(WORDS)
    rewrite(con, partial_dates_sql(state / "findings.parquet"), state / "partial_dates.parquet")


def rewrite(con: "duckdb.DuckDBPyConnection", query: str, target: Path) -> None:
    """Replace one Parquet file of a state by the rows of a query, which may read it."""
    draft = target.with_suffix(".draft")
    con.execute(f"copy ({query}) to {lit(str(draft))} {PARQUET}")
    draft.replace(target)
