"""What a reader asks about, in words: a table with a key, a subject or a query; what is not there is said with the
nearest right word."""

from typing import TYPE_CHECKING

from pipelines import study
from pipelines.errors import UsageError
from pipelines.trace.chain import recorded
from pipelines.trace.rows import Row, of_subjects
from pipelines.yaml_schema import nearest

if TYPE_CHECKING:
    import duckdb

NAMED = 12  # keys shown where several fit
OF_A_SUBJECT = ("validated.eligibility", "derived.adsl", "derived.adtte", "derived.treated_sites")
FINDINGS, QUERIES = "validated.findings", "validated.queries"


def table_named(name: str) -> str:
    """The full name of a declared table, which may be given without its schema; raises `UsageError`."""
    full = next((t for t in study.tables() if name.lower() in (t, t.split(".")[1])), None)
    if full is None:
        known = [*study.tables(), *(t.split(".")[1] for t in study.tables())]
        raise UsageError(f"No table is called {name!r}{nearest(name.lower(), known)}")
    return full


def rows_at(con: "duckdb.DuckDBPyConnection", table: str, key: str) -> Row:
    """The one row with this key, its parts joined by `/`; empty parts at the end may be left out.

    Raises `UsageError` where no row has it (naming the nearest key) or where it fits several rows (naming them).
    """
    declared = study.tables()[table]
    _made(con, table)
    parts = ", ".join(f"coalesce(\"{c}\"::varchar, '')" for c in declared.key)
    full = f"array_to_string([{parts}], '/')"
    columns = ", ".join(f'"{c}"::varchar' for c in declared.key)
    begin = key.rstrip("/")
    given = study.sql_literal(begin)
    found = con.execute(f"""
        select {full} as written, {columns} from store.{table}
        where rtrim({full}, '/') = {given} or starts_with({full}, {given} || '/')
        order by rtrim(written, '/') <> {given}, written limit {NAMED + 1}
    """).fetchall()
    exact = [r for r in found if r[0].rstrip("/") == begin]
    if len(exact or found) == 1:
        return Row(table, tuple((exact or found)[0][1:]))
    of = f"The key of {table} is {'/'.join(declared.key)}"
    if found:
        shown = ", ".join(r[0] for r in found[:NAMED]) + (", ..." if len(found) > NAMED else "")
        raise UsageError(f"{key!r} fits several rows of {table}: {shown}. {of}.")
    closest = con.execute(f"""
        select rtrim({full}, '/') as written from store.{table}
        order by jaro_winkler_similarity(written, {given}) desc, written limit 1
    """).fetchall()
    raise UsageError(f"No row of {table} has the key {key!r}" + _meant(closest) + f" {of}.")


def subject_rows(con: "duckdb.DuckDBPyConnection", usubjid: str) -> list[Row]:
    """What stands about a subject at the end of the flow: eligibility, its ADSL row, endpoints and irradiated sites.

    Raises `UsageError` for a subject that nobody sent.
    """
    code = study.sql_literal(usubjid)
    if not con.execute(f"select 1 from store.harmonised.links where usubjid = {code} limit 1").fetchall():
        closest = con.execute(f"""
            select usubjid from store.harmonised.links where usubjid is not null
            order by jaro_winkler_similarity(usubjid, {code}) desc, usubjid limit 1
        """).fetchall()
        raise UsageError(f"No centre sent a subject {usubjid!r}" + _meant(closest))
    found: list[Row] = []
    for table in OF_A_SUBJECT:
        key = ", ".join(f'"{c}"::varchar' for c in study.tables()[table].key)
        rows = con.execute(f"select {key} from store.{table} where usubjid = {code} order by all").fetchall()
        found += [Row(table, tuple(r)) for r in rows]
    return found or [rows_at(con, "harmonised.subjects", usubjid)]


def query_row(con: "duckdb.DuckDBPyConnection", query_id: str) -> Row:
    """The finding with this id, or the query where it is settled and nothing is found any more; raises `UsageError`."""
    given = study.sql_literal(query_id)
    for table in (FINDINGS, QUERIES):
        if con.execute(f"select 1 from store.{table} where query_id = {given}").fetchall():
            return Row(table, (query_id,))
    closest = con.execute(f"""
        select query_id from store.{QUERIES} order by jaro_winkler_similarity(query_id, {given}) desc, query_id limit 1
    """).fetchall()
    raise UsageError(f"No query is called {query_id!r}" + _meant(closest))


def query_of(con: "duckdb.DuckDBPyConnection", row: Row) -> Row:
    """The query that a row of a table without subjects tells about; raises `UsageError` where it is about none."""
    told = dict(zip(study.tables()[row.table].key, row.key, strict=True))
    if told.get("query_id"):
        return query_row(con, str(told["query_id"]))
    raise UsageError(f"{row.table} is not about subjects or their records: nothing leads from it to a hospital's row.")


def command(row: Row, home: str) -> str:
    """The command that leads from a row on."""
    place = "" if home == "study-home" else f" --home {home}"
    return f"restage trace --table {row.table} --key {written(row)}{place}"


def written(row: Row) -> str:
    """The key of a row as it is typed."""
    return "/".join(part or "" for part in row.key).rstrip("/")


def traceable(table: str) -> bool:
    """Whether rows of this table belong to subjects or to records; else they are counts over all subjects."""
    return of_subjects(table) or recorded(table)


def _meant(closest: list[tuple[str]]) -> str:
    return f"; did you mean {closest[0][0]!r}?" if closest else "; there is none."


def _made(con: "duckdb.DuckDBPyConnection", table: str) -> None:
    """A study that has not come so far has no such table yet."""
    schema, name = table.split(".")
    where = f"database_name = 'store' and schema_name = '{schema}' and table_name = '{name}'"
    if not con.execute(f"select 1 from duckdb_tables() where {where}").fetchall():
        raise UsageError(f"{table} is not in this warehouse yet. Run `restage run` first.")
