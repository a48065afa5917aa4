"""`restage trace`: from a figure, a subject, a query or a row back to the hospital's file, row and text."""

import json
from typing import Annotated

import typer

from pipelines.cli.console import DEFAULT_HOME, HomeOption, home_of


def trace(
    table: Annotated[str, typer.Option(metavar="SCHEMA.NAME", help="A table of the warehouse, with --key.")] = "",
    key: Annotated[str, typer.Option(help="The row of --table: the parts of its key joined by '/'.")] = "",
    cell: Annotated[str, typer.Option(help="A figure of a report table: table2/bone/PR.")] = "",
    query: Annotated[str, typer.Option(metavar="ID", help="A query by its id.")] = "",
    subject: Annotated[str, typer.Option(metavar="CODE", help="A subject by its study code.")] = "",
    whole: Annotated[
        bool, typer.Option("--all", help="Follow also rows that only have to be there; a figure as trees.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same for machines.")] = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Show where a figure, a subject's results, a query or a row come from, down to the raw text of each record.

    For the coordinating centre only: it prints patients' values on the terminal, and writes nothing. Exit code 2: there
    is no such table, key, figure, query or subject.
    """
    from pipelines.errors import UsageError
    from pipelines.trace import trace as find

    asked = [bool(table or key), bool(cell), bool(query), bool(subject)]
    if sum(asked) != 1 or bool(table) != bool(key):
        raise UsageError("One of these is expected: --table with --key, --cell, --query, or --subject.")
    place = home_of(home)
    if table:
        found = find.trace_rows(place, table, key, whole)
    elif cell:
        found = find.trace_cell(place, cell, whole)
    elif query:
        found = find.trace_query(place, query, whole)
    else:
        found = find.trace_subject(place, subject, whole)
    if as_json:
        print(json.dumps(found.data(), ensure_ascii=False, indent=2, default=str))
    else:
        for line in found.lines(str(home), whole):
            print(line)
