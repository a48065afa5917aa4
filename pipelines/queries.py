"""What a centre is asked: its findings as a ranked list, and as the files that it answers in."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.query_words import sql_labels, sql_parts, words
from pipelines.staging_findings import MARK
from pipelines.study import sql_literal as lit
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb

    from pipelines.centres import Centre

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
WIDTHS = {"problem": 60, "action": 50, "expected": 30, "form": 24, "site_reply": 16, "site_comment": 40}
MOST_PLACES = 10  # of records with the same root cause, named in the text of their one query


def _language(centre: str) -> str:
    from pipelines import centres

    return centres.load(study.ROOT / "centres" / centre).language


def _sources(centre: str) -> dict[str, list[str]]:
    """Source of a centre -> the tables that are made from it."""
    from pipelines import centres

    tables = centres.load(study.ROOT / "centres" / centre).tables
    found: dict[str, list[str]] = {}
    for table, source in dict.fromkeys((table, part.source) for table, parts in tables.items() for part in parts):
        found.setdefault(source, []).append(table)
    return found


def centre_queries(con: "duckdb.DuckDBPyConnection", home: Home, centre: str) -> list[dict[str, Any]]:
    """The queries of one centre: what it has to answer first, then by priority (endpoint, safety, other), by severity
    and by how many records they are about. One per root cause; notes are none, what is accepted is not asked again.

    Reads `validated.findings` by its plain name and the centre's own staged files, the only place of its local ids.
    Texts are raw: whoever writes them into a file or page escapes them. Source: QUALITY, The report to a centre, 3.
    """
    cursor = con.execute(_select(home, centre))
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def unmapped_codes(con: "duckdb.DuckDBPyConnection", findings: str) -> list[tuple[str, str, str, int]]:
    """Texts that no map of the centre knows: file, column, text as received, and in how many rows it stands.

    `findings` is what a query reads the centre's staged findings from: a view, or `read_parquet(...)` of its file.
    """
    return con.execute(f"""
        select source_file, field, value_received, count(distinct source_row) from {findings}
        where rule_id = 'structure/unmapped_code' group by all order by all
    """).fetchall()


def write_queries(con: "duckdb.DuckDBPyConnection", home: Home, centre: str, folder: Path) -> list[Path]:
    """Write `queries.xlsx` and `queries.csv` of one centre into `folder`, both to be answered and sent back.

    Every text passes `disclosure.escape_formula`. The csv is UTF-8 with BOM and the centre's own delimiter.
    """
    from pipelines import centres
    from pipelines.disclosure import escape_formula

    mapping = centres.load(study.ROOT / "centres" / centre)
    rows = [
        [escape_formula(str(query[name])) if query[name] is not None else "" for name in ASKED + REPLY]
        for query in centre_queries(con, home, centre)
    ]
    folder.mkdir(parents=True, exist_ok=True)
    return [_write_xlsx(rows, mapping, folder / "queries.xlsx"), _write_csv(rows, mapping, folder / "queries.csv")]


def write_to_decide(con: "duckdb.DuckDBPyConnection", folder: Path) -> Path:
    """Write `queries_to_decide.csv` for the coordinating data manager: values that their centre has confirmed and that
    can be accepted, and replies that the next delivery did not bear out. What is settled waits for nobody, and no
    decision lifts what excludes. One row per query; texts pass `disclosure.escape_formula`."""
    import csv

    from pipelines.disclosure import escape_formula

    cursor = con.execute("""
        select q.query_id, q.centre, q.usubjid, q.rule_id, q.field, f.value_received, f.expected, f.message, q.state,
            q.conflict, q.site_reply, q.site_comment, q.replied_by, q.replied_on, q.first_dt, q.age_days,
            case q.state when 'answered' then 'accept it, or let the centre correct it'
                else 'asked again, talk to the centre' end as to_do
        from validated.queries q left join validated.findings f using (query_id)
        where q.severity = 'query' and q.state = 'answered' and q.site_reply = 'confirmed'
            or q.severity <> 'note' and q.state in ('new', 'open', 'reopened') and q.conflict is not null
        order by q.centre, q.state <> 'answered', q.query_id
    """)
    target = folder / "queries_to_decide.csv"
    with target.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(column[0] for column in cursor.description or [])
        writer.writerows([escape_formula(str(v)) if v is not None else "" for v in row] for row in cursor.fetchall())
    return target


def _write_csv(rows: list[list[str]], centre: "Centre", target: Path) -> Path:
    import csv

    with target.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=centre.queries_delimiter)
        writer.writerow(ASKED + REPLY)
        writer.writerows(rows)
    return target


def _write_xlsx(rows: list[list[str]], centre: "Centre", target: Path) -> Path:
    """A sheet whose asked columns are protected and whose reply is chosen from a list; another one explains both."""
    import datetime

    import xlsxwriter

    said = words(centre.language)
    book = xlsxwriter.Workbook(str(target), {"strings_to_formulas": False, "strings_to_urls": False})
    about = {"title": centre.local_title, "subject": study.title(centre.language)}
    book.set_properties({"created": datetime.datetime(2000, 1, 1), **about})
    sheet = book.add_worksheet("queries")
    head = book.add_format({"bold": True, "bottom": 1, "text_wrap": True})
    asked = book.add_format({"text_wrap": True, "valign": "top"})
    reply = book.add_format({"text_wrap": True, "valign": "top", "locked": False, "bg_color": "#FFF9DB"})
    day = book.add_format({"valign": "top", "locked": False, "bg_color": "#FFF9DB", "num_format": "yyyy-mm-dd"})
    for column, name in enumerate(ASKED + REPLY):
        sheet.set_column(column, column, WIDTHS.get(name, 14))
        sheet.write_string(0, column, name, head)
    for line, row in enumerate(rows, 1):
        for column, text in enumerate(row[: len(ASKED)]):
            sheet.write_string(line, column, text, asked)
        # the reply of last time stands there; sent back as it is, it is not a new one
        for column, (name, text) in enumerate(zip(REPLY, row[len(ASKED) :], strict=True), len(ASKED)):
            sheet.write(line, column, text or None, day if name == "replied_on" else reply)
    if rows:
        first = len(ASKED)
        choice = {"validate": "list", "source": list(REPLIES), "ignore_blank": True}
        choice |= {"input_title": said["reply"], "input_message": " ".join(said["replies"])}
        sheet.data_validation(1, first, len(rows), first, choice)
        since = {"validate": "date", "criteria": ">=", "value": datetime.date(2000, 1, 1), "ignore_blank": True}
        sheet.data_validation(1, first + len(REPLY) - 1, len(rows), first + len(REPLY) - 1, since)
    sheet.autofilter(0, 0, max(len(rows), 1), len(ASKED) + len(REPLY) - 1)
    sheet.freeze_panes(1, 1)
    sheet.protect("", {"format_columns": True, "format_rows": True, "autofilter": True, "sort": True})
    sheet.set_landscape()
    sheet.repeat_rows(0)
    sheet.set_header("&L{title}&R{subject}".format(**{name: text.replace("&", "&&") for name, text in about.items()}))
    sheet.fit_to_pages(1, 0)
    legend = book.add_worksheet(said["legend_sheet"])
    legend.set_column(1, 1, 100)
    for line, (name, meaning) in enumerate({**said["legend"], **said["codes"]}.items()):
        legend.write_row(line, 0, [name, meaning], asked)
    legend.protect()
    book.close()
    return target


def _select(home: Home, centre: str) -> str:
    """The centre's findings with its own ids; a record is named by its key, without study code and centre."""
    staged = home.staged / (centre if (home.staged / centre).exists() else "_declared")  # sent nothing yet: no rows
    links, findings = (f"read_parquet({lit(str(staged / name))})" for name in ("links.parquet", "findings.parquet"))
    language = _language(centre)
    said = words(language)
    forms, fields = sql_labels(language, _sources(centre))
    conflicts = " ".join(f"when {lit(name)} then {lit(' ' + text)}" for name, text in said["conflict"].items())
    return f"""
        with form(table_name, label) as (values {forms}),
        named(table_name, field, label) as (values {fields}),
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
                nullif(array_to_string({sql_parts(said)}, ', '), '')) as form,
            regexp_replace(list_filter(a.parts, lambda part: part like 'visit %')[1], '^visit ', '') as visit,
            coalesce(n.label, case when a.table_name not like 'staged.%' then e.label end, a.field) as field,
            a.value_received, a.local_expected as expected,
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
