"""`restage withdraw`: a subject withdraws consent."""

from typing import Annotated

import typer

from pipelines.cli.console import DEFAULT_HOME, HomeOption, JsonOption, WaitOption, alone, answering, progress, study_of
from pipelines.cli.run import bring_up_to_date, finish, tell_withdrawn


def withdraw(
    subject: Annotated[str, typer.Argument(help="Study code of the subject, as the coordinating centre issued it.")],
    home: HomeOption = DEFAULT_HOME,
    wait: WaitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Remove a subject who withdraws consent from every table, report and archived file, and keep it out.

    Archived files are written anew without the subject; the ledger keeps their old and new sha256. An export that
    brings the subject again is freed of it when it arrives. This cannot be undone.

    Example: restage withdraw RCC-ME1-001-M --home /srv/study
    """
    from pipelines.centres import load_all
    from pipelines.orchestration.plan import CENTRES
    from pipelines.withdraw import withdraw as take_out

    with answering(as_json) as answer, alone(place := study_of(home), wait):
        with progress("Taking the subject out"):
            done = take_out(place, subject, load_all(CENTRES))
        tell_withdrawn(done, answer)
        if done.deliveries or done.removed:
            print("Backups that were made before still hold the subject: make a new one, then destroy them.")
        else:
            print("No delivery holds this study code; it will be kept out of those to come.")
        finish(bring_up_to_date(place, answer=answer))
