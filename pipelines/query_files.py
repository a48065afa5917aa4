"""The files in which a centre is asked and answers, and the list of what the coordinating data manager decides."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.queries import ASKED, AT_ONCE, REPLIES, REPLY
from pipelines.query_words import words

if TYPE_CHECKING:
    import duckdb

    from pipelines.centres import Centre

MOST_LINES = 1_048_576  # of a sheet
WIDTHS = {"problem": 60, "action": 50, "expected": 30, "form": 24, "site_reply": 16, "site_comment": 40}


def write_queries(
    queries: Iterable[Mapping[str, Any]], centre: str, folder: Path, may_stay: bool = False
) -> list[Path]:
    """Write `queries.xlsx` and `queries.csv` of one centre into `folder`, both to be answered and sent back.

    `may_stay`: this code made what is there, so that a workbook of the same list stays (`.queries` tells).
    Every text passes `disclosure.escape_formula`. The csv is UTF-8 with BOM and the centre's own delimiter.
    """
    from pipelines import centres

    mapping = centres.load(study.ROOT / "centres" / centre)
    folder.mkdir(parents=True, exist_ok=True)
    book, listed, told = folder / "queries.xlsx", folder / "queries.csv", folder / ".queries"
    _write_csv(queries, mapping, listed)

    def made() -> str:
        """Changes with all that the workbook is made of, and when somebody saves another one in its place."""
        about = (mapping.local_title.encode(), mapping.language.encode())
        parts = [_digest(listed), *(hashlib.sha256(text).digest() for text in about), _digest(book)]
        return hashlib.sha256(b"".join(parts)).hexdigest()

    if not (may_stay and book.exists() and told.exists() and told.read_text() == made()):
        _write_xlsx(listed, mapping, book)
        told.write_text(made())
    return [book, listed]


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
        while rows := cursor.fetchmany(AT_ONCE):
            writer.writerows([escape_formula(str(v)) if v is not None else "" for v in row] for row in rows)
    return target


def _write_csv(queries: Iterable[Mapping[str, Any]], centre: "Centre", target: Path) -> None:
    import csv

    from pipelines.disclosure import escape_formula

    draft = target.with_name(f".{target.name}.part")
    with draft.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, delimiter=centre.queries_delimiter)
        writer.writerow(ASKED + REPLY)
        for query in queries:
            given = (query[name] for name in ASKED + REPLY)
            writer.writerow(["" if value is None else escape_formula(str(value)) for value in given])
    draft.replace(target)


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _write_xlsx(listed: Path, centre: "Centre", target: Path) -> Path:
    """The rows of the csv in a sheet whose asked columns are protected and whose reply is chosen from a list; another
    one explains both. The csv alone holds what a sheet has no room for, which is the least important."""
    import csv
    import datetime
    from itertools import islice

    import xlsxwriter

    said = words(centre.language)
    book = xlsxwriter.Workbook(
        str(target), {"strings_to_formulas": False, "strings_to_urls": False, "constant_memory": True}
    )
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
    line = 0
    with listed.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file, delimiter=centre.queries_delimiter)
        for line, row in enumerate(islice(rows, 1, MOST_LINES), 1):
            for column, text in enumerate(row[: len(ASKED)]):
                sheet.write_string(line, column, text, asked)
            # the reply of last time stands there; sent back as it is, it is not a new one
            for column, (name, text) in enumerate(zip(REPLY, row[len(ASKED) :], strict=True), len(ASKED)):
                sheet.write(line, column, text or None, day if name == "replied_on" else reply)
    if line:
        first = len(ASKED)
        choice = {"validate": "list", "source": list(REPLIES), "ignore_blank": True}
        choice |= {"input_title": said["reply"], "input_message": " ".join(said["replies"])}
        sheet.data_validation(1, first, line, first, choice)
        since = {"validate": "date", "criteria": ">=", "value": datetime.date(2000, 1, 1), "ignore_blank": True}
        sheet.data_validation(1, first + len(REPLY) - 1, line, first + len(REPLY) - 1, since)
    sheet.autofilter(0, 0, max(line, 1), len(ASKED) + len(REPLY) - 1)
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
