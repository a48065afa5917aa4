"""`restage accept`: the coordinating data manager takes a value that its centre has confirmed."""

from typing import Annotated

import typer

from pipelines.cli.console import DEFAULT_HOME, HomeOption, JsonOption, alone, answering, study_of, tables_of
from pipelines.cli.run import bring_up_to_date, finish


def accept(
    query: Annotated[str, typer.Argument(help="Number of the query, as the centre's list shows it.")],
    by: Annotated[str, typer.Option(metavar="NAME", help="Who decides.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why the value may stay as it is.")],
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Accept the value of a query that its centre answered with `confirmed`.

    The decision holds for this value only: another one is asked again. It is kept in archive/acceptances.jsonl with
    name, time and reason. What decides eligibility or takes a subject out of analysis cannot be accepted.

    Example: restage accept Q61aac168901e --by "A. Rossi" --reason "Confirmed against the operation report"
    """
    from pipelines.accept import accept as decide

    with answering(as_json) as answer, alone(place := study_of(home)):
        with tables_of(place):
            decided = decide(place, query, by, reason)
        print(f"{decided.centre}: query {query} accepted by {decided.accepted_by}")
        answer |= {"query_id": query, "centre": decided.centre, "accepted_by": decided.accepted_by}
        finish(bring_up_to_date(place, answer=answer))
