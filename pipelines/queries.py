"""What a centre is asked: its findings as a ranked list."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.query_words import sql_codes, sql_labels, sql_parts, words
from pipelines.staging_findings import MARK
from pipelines.study import sql_literal as lit
from pipelines.warehouse import Home, with_room

if TYPE_CHECKING:
    import duckdb


ASKED = (
    "query_id", "priority", "local_id", "form", "visit", "field", "value_received", "expected", "problem", "action",
    "due_date", "first_seen", "state", "file", "line",
)  # fmt: skip
REPLY = ("site_reply", "site_comment", "replied_by", "replied_on")
REPLIES = ("corrected", "confirmed", "cannot_obtain")
TO_ANSWER = ("new", "open", "reopened")
LISTED = (*TO_ANSWER, "answered", "unobtainable")
# what an answer changes: the families that judge response and eligibility, and the tables that endpoints are made from
ENDPOINT = ("eligibility", "recist", "radiotherapy", "linkage")
ENDPOINT_TABLES = ("exposures", "followup", "lesions", "links", "measurements", "subjects")
SAFETY_TABLES = ("adverse_events", "labs")
AT_ONCE = 5000  # in memory, of however many
MOST_PLACES = 10  # of records with the same root cause, named in the text of their one query


def _language(centre: str) -> str:
    from pipelines import centres

    return centres.load(study.ROOT / "centres" / centre).language


def sources(centre: str) -> dict[str, list[str]]:
    """Source of a centre -> the tables that are made from it."""
    from pipelines import centres

    tables = centres.load(study.ROOT / "centres" / centre).tables
    found: dict[str, list[str]] = {}
    for table, source in dict.fromkeys((table, part.source) for table, parts in tables.items() for part in parts):
        found.setdefault(source, []).append(table)
    return found


def ask(con: "duckdb.DuckDBPyConnection", home: Home, centre: str) -> None:
    """Make `temp.asked`, the queries of one centre: what it has to answer first, then by priority (endpoint, safety,
    other), by severity and by how many records they are about. One per root cause; notes are none, what is accepted is
    not asked again.

    Reads `validated.findings` by its plain name and the centre's own staged files, the only place of its local ids.
    Texts are raw: whoever writes them into a file or page escapes them. Source: QUALITY, The report to a centre, 3.
    """
    with_room(con, f"create or replace temp table asked as {_select(home, centre)}")


def asked(con: "duckdb.DuckDBPyConnection", first: int | None = None) -> Iterator[dict[str, Any]]:
    """The rows of `temp.asked` in their order, the `first` of them or all, a few in memory at a time; until the last
    one `con` does nothing else."""
    cursor = con.execute(f"from temp.asked{f' limit {first}' if first else ''}")
    names = [column[0] for column in cursor.description or []]
    while rows := cursor.fetchmany(AT_ONCE):
        yield from (dict(zip(names, row, strict=True)) for row in rows)


def unmapped_codes(con: "duckdb.DuckDBPyConnection", findings: str) -> list[tuple[str, str, str, int]]:
    """Texts that no map of the centre knows: file, column, text as received, and in how many rows it stands.

    `findings` is what a query reads the centre's staged findings from: a view, or `read_parquet(...)` of its file.
    """
    return con.execute(f"""
        select source_file, field, value_received, count(distinct source_row) from {findings}
        where rule_id = 'structure/unmapped_code' group by all order by all
    """).fetchall()


def _select(home: Home, centre: str) -> str:
    """The centre's findings with its own ids; a record is named by its key, without study code and centre."""
    staged = home.staged / (centre if (home.staged / centre).exists() else "_declared")  # sent nothing yet: no rows
    links, findings = (f"read_parquet({lit(str(staged / name))})" for name in ("links.parquet", "findings.parquet"))
    language = _language(centre)
    said = words(language)
    forms, fields = sql_labels(language, sources(centre))
    codes, keys = sql_codes(language)
    conflicts = " ".join(f"when {lit(name)} then {lit(' ' + text)}" for name, text in said["conflict"].items())
    return f"""
        with form(table_name, label) as (values {forms}),
        named(table_name, field, label) as (values {fields}),
        coded(table_name, field, code, word) as (values {codes}),
        own as (select usubjid, min(local_id) as local_id from {links} group by usubjid),
        unlinked as (
            select rule_id, source_file, source_row, field, min(local_id) as local_id from {findings}
            where usubjid is null group by all
        ),
        asked as (
            select
                f.*, string_split(f.table_name, '.')[-1] as table_short,
                -- the first part is whose record it is; where it is a source, file and line say the rest;
                -- a digest of what could not be read says nothing to people
                case when string_split(f.record_key, '|')[1] = string_split(f.table_name, '.')[-1] then [] else
                    list_filter(string_split(f.record_key, '|')[2:],
                        lambda part: part not in ('', {lit(centre)}) and not starts_with(part, {lit(MARK)}))
                end as parts,
                list(concat_ws(' ', f.source_file, f.source_row)) over same as places,
                row_number() over same as place
            from validated.findings f
            where f.centre = {lit(centre)} and f.severity <> 'note' and f.state in {LISTED}
            window same as (
                -- what is answered apart from the others stands apart from them
                partition by coalesce(f.cause_id, f.query_id), f.state
                order by f.source_file, length(f.source_row), f.source_row, f.query_id
                rows between unbounded preceding and unbounded following
            )
        )
        select
            a.query_id,
            case
                when split_part(a.rule_id, '/', 1) in {ENDPOINT} or a.table_short in {ENDPOINT_TABLES} then 'endpoint'
                when split_part(a.rule_id, '/', 1) = 'ctcae' or a.table_short in {SAFETY_TABLES} then 'safety'
                else 'other'
            end as priority,
            coalesce(o.local_id, u.local_id) as local_id,
            concat_ws(': ', coalesce(f.label, a.table_short),
                nullif(array_to_string({sql_parts(said, keys)}, ', '), '')) as form,
            regexp_replace(list_filter(a.parts, lambda part: part like 'visit %')[1], '^visit ', '') as visit,
            coalesce(n.label, case when a.table_name not like 'staged.%' then e.label end, a.field) as field,
            coalesce(c.word, d.word, g.word, a.value_received) as value_received, a.local_expected as expected,
            a.local_message
                || case when a.conflict is null then '' else replace(case a.conflict {conflicts} end, '{{day}}',
                    coalesce(a.replied_on, {lit(said["day_unknown"])})) end
                || case when len(a.places) = 1 then '' else {lit(" " + said["same"])}
                    || array_to_string(a.places[2:{MOST_PLACES + 1}], ', ')
                    || case when len(a.places) > {MOST_PLACES + 1} then ', ...' else '.' end end as problem,
            a.local_suggestion as action,
            a.due_dt::varchar as due_date, coalesce(a.first_dt::varchar, a.first_delivery) as first_seen,
            a.state, a.source_file as file, a.source_row as line,
            a.site_reply, a.site_comment, a.replied_by, a.replied_on
        from asked a
        left join form f on f.table_name = a.table_name
        left join named n on n.table_name = a.table_name and n.field = a.field
        -- a field of another table than the one that was checked
        left join named e on e.table_name = '' and e.field = a.field
        left join coded c on c.table_name = a.table_name and c.field = a.field and c.code = a.value_received
        -- a rule may show another column of its table than the one it asks about
        left join coded d on d.table_name = a.table_name and d.field = '' and d.code = a.value_received
        -- or one that is asked about by a table without it
        left join coded g on g.table_name = '' and g.field = a.field and g.code = a.value_received
            and a.table_name not like 'staged.%'
        left join own o on o.usubjid = a.usubjid
        left join unlinked u on u.rule_id = a.rule_id and u.source_file = a.source_file and u.source_row = a.source_row
            and u.field is not distinct from a.field
        where a.place = 1
        order by
            case when a.state in {TO_ANSWER} then 1 else 2 end,
            case priority when 'endpoint' then 1 when 'safety' then 2 else 3 end,
            case a.severity when 'stop' then 1 when 'exclude' then 2 else 3 end,
            len(a.places) desc, local_id, form, visit, a.query_id
    """
