"""`restage trace`: from a figure, a subject, a query or a row back to the hospital's file, row and text."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import DEFAULT_HOME, HomeOption, JsonOption, answering, home_of, tables_of
from pipelines.warehouse import Home

if TYPE_CHECKING:
    from pipelines.trace.trace import Trace


def trace(
    table: Annotated[str, typer.Option(metavar="SCHEMA.NAME", help="A table of the warehouse, with --key.")] = "",
    key: Annotated[str, typer.Option(help="The row of --table: the parts of its key joined by '/'.")] = "",
    cell: Annotated[str, typer.Option(help="A figure of a report table: table2/bone/PR.")] = "",
    query: Annotated[str, typer.Option(metavar="ID", help="A query by its id.")] = "",
    subject: Annotated[str, typer.Option(metavar="CODE", help="A subject by its study code.")] = "",
    whole: Annotated[
        bool, typer.Option("--all", help="Follow also rows that only have to be there; a figure as trees.")
    ] = False,
    as_json: JsonOption = False,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Show where a figure, a subject's results, a query or a row come from, down to the raw text of each record.

    For the coordinating centre only: it prints patients' values on the terminal, and writes nothing. Exit code 2: there
    is no such table, key, figure, query or subject.

    Examples:
      restage trace --cell table2/bone/PR
      restage trace --table adtte --key RCC-ME1-007-A/PFS1
    """
    with answering(as_json) as answer:
        with tables_of(place := home_of(home)):
            found = _found(place, table, key, cell, query, subject, whole)
        if as_json:
            answer |= found.data()
            return
        for line in found.lines(str(home), whole):
            print(line)


def _found(home: Home, table: str, key: str, cell: str, query: str, subject: str, whole: bool) -> "Trace":
    from pipelines.errors import UsageError
    from pipelines.trace import trace as find

    asked = [bool(table or key), bool(cell), bool(query), bool(subject)]
    if sum(asked) != 1 or bool(table) != bool(key):
        raise UsageError("One of these is expected: --table with --key, --cell, --query, or --subject.")
    if table:
        return find.trace_rows(home, table, key, whole)
    if cell:
        return find.trace_cell(home, cell, whole)
    if query:
        return find.trace_query(home, query, whole)
    return find.trace_subject(home, subject, whole)
