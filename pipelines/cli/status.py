"""`restage status` and `restage open`: how the study stands, and its reports in the browser."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.console import DEFAULT_HOME, HomeOption, JsonOption, answering, home_of, study_of
from pipelines.errors import UsageError
from pipelines.warehouse import Home

if TYPE_CHECKING:
    from pipelines.status import Standing

WIDTHS = {"centre": 8, "data cut": 12, "delivery": 28, "newest": 12, "next due": 12, "": 8, "queries": 7}


def status(
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show where each centre stands: last delivery, when the next is due, and how many queries it has.

    Rules that could not run are named, with their file and the reason.

    Examples:
      restage status --home /srv/study
      restage status --json
    """
    from datetime import date

    from pipelines.centres import load_all
    from pipelines.deliveries.intake import unseen
    from pipelines.orchestration.plan import CENTRES, make_plan
    from pipelines.orchestration.settings import late_after_pct
    from pipelines.status import broken_rules, standings

    with answering(as_json) as answer:
        place = study_of(home)
        rows = standings(place, load_all(CENTRES), late_after_pct(place), date.today())
        behind, n_waiting = not make_plan(place).nothing, len(unseen(place))
        current = not behind and not n_waiting and place.database.exists()
        broken = broken_rules(place)
        answer |= {"home": place.root, "up_to_date": current, "waiting": n_waiting, "centres": [r.row() for r in rows]}
        answer["broken_rules"] = [{"rule_id": rule_id, "problem": problem} for rule_id, problem in broken.items()]
        _show(rows)
        if n_waiting:
            print(f"Deliveries that wait in the inbox: {n_waiting}.")
        if current:
            print("Tables and reports are up to date.")
        elif behind or n_waiting:
            print(f"Not up to date: `restage run --home {home}` has work to do.")
        else:
            print(f"Nothing was made yet: no delivery of {place.inbox} could be taken in.")
        for rule_id, problem in broken.items():
            print(f"rule {rule_id} could not run: {problem}")


def _show(rows: "list[Standing]") -> None:
    print("".join(f"{name:<{width}}" for name, width in WIDTHS.items()).rstrip())
    for r in rows:
        cells = (r.centre, r.data_cut, r.delivery, r.last_state, r.due, r.freshness, r.queries)
        print(
            "".join(
                f"{_cut(cell, width):<{width}}" for cell, width in zip(cells, WIDTHS.values(), strict=True)
            ).rstrip()
        )


def _cut(cell: object, width: int) -> str:
    text = "-" if cell is None else str(cell)
    return text if len(text) < width else f"{text[: width - 2]}…"


def open_reports(
    home: HomeOption = DEFAULT_HOME,
    centre: Annotated[str | None, typer.Option(metavar="ID", help="The report of one centre.")] = None,
    study: Annotated[bool, typer.Option("--study", help="The report of the study.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Open the reports in the browser: the overview, the study's own, or one centre's.

    With --json the document says where the page lies, and no browser is opened.

    Examples:
      restage open
      restage open --centre ID
    """
    with answering(as_json) as answer:
        if study and centre:
            raise UsageError("--study or --centre: one of them is expected.")
        page = _page(home_of(home), centre, study)
        answer["page"] = page
        print(page)
        if not as_json:
            typer.launch(page.resolve().as_uri())


def _page(home: Home, centre: str | None, study: bool) -> Path:
    page = home.reports / "index.html"
    if centre:
        page = home.reports / "centres" / centre / "report.html"
    elif study:
        page = home.reports / "study" / "report.html"
    if not page.exists():
        known = ", ".join(sorted(p.parent.name for p in home.reports.glob("centres/*/report.html")))
        raise UsageError(
            f"{page}: no such report. " + (f"Centres with one: {known}." if known else "Run `restage run` first.")
        )
    return page
