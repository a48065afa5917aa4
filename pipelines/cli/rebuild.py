"""`restage rebuild`: everything made anew from the archive alone."""

from typing import Annotated, Any

import typer

from pipelines.cli.console import DEFAULT_HOME, HomeOption, JsonOption, WaitOption, alone, answering, day_of, home_of
from pipelines.cli.run import bring_up_to_date, finish
from pipelines.deliveries import ledger
from pipelines.errors import UsageError
from pipelines.warehouse import Home, clear_reports, remove


def rebuild(
    home: HomeOption = DEFAULT_HOME,
    as_of: Annotated[str | None, typer.Option(metavar="YYYY-MM-DD", help="As it was at the end of that day.")] = None,
    wait: WaitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove all tables and reports and make them again from the archive.

    The archive holds every delivery as it came and what became of it; nothing else is needed. Use this after a disk was
    restored, or to see that the tables are what the deliveries say. The centres' outboxes, which tell what was sent,
    stay.

    Example: restage rebuild --home /srv/study
    """
    from pipelines.deliveries import denylist

    with answering(as_json) as answer:
        place = home_of(home, day_of(as_of))
        # an archive that cannot be read must not cost the tables
        if not ledger.read(place) and not (place.archive / "ledger.jsonl").exists():
            raise UsageError(f"{place.root}: no archive here. Name the study's home with --home.")
        denylist.read(place)
        ledger.hold_sound(place)
        _rebuild(place, wait, answer)


def _rebuild(place: Home, wait: float | None, answer: dict[str, Any]) -> None:
    with alone(place, wait):
        # first what says that all is well: a rebuild that is cut off is finished by the next run
        for file in (place.root / "state.json", place.database):
            file.unlink(missing_ok=True)
        for folder in (place.landed, place.staged, place.history, place.gx):
            remove(place, folder)
        clear_reports(place)
        finish(bring_up_to_date(place, answer=answer))
