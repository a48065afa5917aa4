"""What a centre replied to its queries: the file that we sent, filled in and sent back."""

from typing import TYPE_CHECKING

from pipelines.deliveries.ledger import Delivery, object_path
from pipelines.errors import DeliveryRejected, Problem, UnreadableFile
from pipelines.warehouse import Home

if TYPE_CHECKING:
    from pipelines.mapping import Centre

ENCODINGS = ("utf-8-sig", "cp1252")  # as we write it, and as a spreadsheet of the centre saves it
COLUMNS = ("query_id", "site_reply")


def replies(home: Home, centre: "Centre", answer: Delivery) -> dict[str, str]:
    """Query id -> reply, lower case, of those queries that have one. Raises `DeliveryRejected`.

    Input grain: one row per query in `queries.csv` (the centre's delimiter) or `queries.xlsx`; other columns are not
    read. Where both files are sent, the workbook holds. Source: QUALITY, The life of a query.
    """
    found: dict[str, str] = {}
    for name, about in sorted(answer.files.items()):
        path = object_path(home, str(about["sha256"]))
        header = {"find": list(COLUMNS), "within": 5}
        specs: list[dict[str, object]]
        if name.endswith(".csv"):
            specs = [
                {"format": "csv", "encoding": e, "delimiter": centre.queries_delimiter, "header": header}
                for e in ENCODINGS
            ]
        else:
            specs = [{"format": "xlsx", "sheet": "queries", "header": header}]
        found |= _read(name, path, specs, answer)
    return found


def _read(name: str, path: object, specs: list[dict[str, object]], answer: Delivery) -> dict[str, str]:
    from pipelines.readers.read import read

    problems: list[Problem] = []
    for spec in specs:
        try:
            rows = read([(name, path)], spec)  # type: ignore[list-item]
        except UnreadableFile as error:
            problems = problems or error.problems
            continue
        columns = (rows.column(c).to_pylist() for c in COLUMNS)
        return {q.strip(): r.strip().lower() for q, r in zip(*columns, strict=True) if q and r and r.strip()}
    raise DeliveryRejected(answer.centre, answer.name, problems)
