"""`restage status` and `restage open`: how the study stands, and its reports in the browser."""

import json
from typing import Annotated

import typer

from pipelines.cli.console import DEFAULT_HOME, HomeOption, home_of
from pipelines.errors import UsageError

WIDTHS = {"centre": 8, "data cut": 12, "delivery": 28, "newest": 12, "next due": 12, "": 8, "queries": 7}


def status(
    home: HomeOption = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, for machines.")] = False,
) -> None:
    """Show where each centre stands: last delivery, when the next is due, and how many queries it has.

    Examples:
      restage status --home /srv/study
      restage status --json
    """
    from datetime import date

    from pipelines.centres import load_all
    from pipelines.orchestration.plan import CENTRES, make_plan
    from pipelines.status import standings

    place = home_of(home)
    if not place.root.exists():
        raise UsageError(f"{place.root}: no study here. Name its home with --home, or start with `restage demo`.")
    rows = standings(place, load_all(CENTRES), date.today())
    behind = not make_plan(place).nothing
    if as_json:
        print(
            json.dumps(
                {"home": str(place.root), "up_to_date": not behind, "centres": [r.row() for r in rows]}, indent=1
            )
        )
        return
    print("".join(f"{name:<{width}}" for name, width in WIDTHS.items()).rstrip())
    for r in rows:
        cells = (r.centre, r.data_cut, r.delivery, r.last_state, r.due, r.freshness, r.queries)
        print(
            "".join(
                f"{_cut(cell, width):<{width}}" for cell, width in zip(cells, WIDTHS.values(), strict=True)
            ).rstrip()
        )
    print(
        f"Not up to date: `restage run --home {home}` has work to do."
        if behind
        else "Tables and reports are up to date."
    )


def _cut(cell: object, width: int) -> str:
    text = "-" if cell is None else str(cell)
    return text if len(text) < width else f"{text[: width - 2]}…"


def open_reports(
    home: HomeOption = DEFAULT_HOME,
    centre: Annotated[str | None, typer.Option(metavar="ID", help="The report of one centre.")] = None,
    study: Annotated[bool, typer.Option("--study", help="The report of the study.")] = False,
) -> None:
    """Open the reports in the browser: the overview, the study's own, or one centre's.

    Examples:
      restage open
      restage open --centre ID
    """
    place = home_of(home)
    page = place.reports / "index.html"
    if centre:
        page = place.reports / "centres" / centre / "report.html"
    elif study:
        page = place.reports / "study" / "report.html"
    if not page.exists():
        known = ", ".join(sorted(p.parent.name for p in place.reports.glob("centres/*/report.html")))
        raise UsageError(
            f"{page}: no such report. " + (f"Centres with one: {known}." if known else "Run `restage run` first.")
        )
    print(page)
    typer.launch(page.resolve().as_uri())
