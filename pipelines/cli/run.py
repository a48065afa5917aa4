"""`restage run`: takes in whatever is new and brings everything up to date."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.console import (
    DEFAULT_HOME,
    HomeOption,
    JsonOption,
    WaitOption,
    alone,
    answering,
    day_of,
    home_of,
    progress,
)
from pipelines.warehouse import Home

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipelines.deliveries.ledger import Delivery
    from pipelines.withdraw import Withdrawn

OUR_FAULT, REJECTED, STOPPED = 1, 3, 130


def run(
    home: HomeOption = DEFAULT_HOME,
    as_of: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Show the study as it was at the end of that day.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(metavar="VERSION", help="Judge by an earlier version of the protocol.")
    ] = None,
    wait: WaitOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in what is new in the inbox and bring tables and reports up to date.

    With --as-of nothing is taken in: tables and reports are made of the deliveries that had been received by the end
    of that day. The next run without it brings them back to today. With --protocol the numbers of that version hold, in
    this run alone. Exit code 3: a delivery was rejected in this run.

    Examples:
      restage run --home /srv/study
      restage run --as-of 2026-06-30
    """
    if protocol is not None:
        os.environ["RESTAGE_PROTOCOL"] = protocol
    with answering(as_json) as answer:
        finish(bring_up_to_date(home_of(home, day_of(as_of)), wait, answer))


def finish(code: int) -> None:
    if code:
        raise typer.Exit(code)


def bring_up_to_date(home: Home, wait: float | None = None, answer: dict[str, Any] | None = None) -> int:
    """Do one run, alone; returns the exit code: 0, 1 when a rule could not run, or 3 when a delivery was rejected.

    `answer` gets what is printed, for machines: home, changed, deliveries, broken_rules, reports.
    """
    with alone(home, wait):
        return _bring_up_to_date(home, {} if answer is None else answer)


def _bring_up_to_date(home: Home, answer: dict[str, Any]) -> int:
    # nothing heavy is imported before it is known that there is something to do
    from pipelines.deliveries import ledger
    from pipelines.deliveries.intake import intake
    from pipelines.orchestration.plan import centre_folders, make_plan
    from pipelines.status import broken_rules

    started = time.perf_counter()
    had_inbox = home.inbox.exists()
    home.inbox.mkdir(parents=True, exist_ok=True)
    if home.withdrawing.exists():
        _end_withdrawal(home, answer)
    before = {d.delivery_id: d for d in ledger.read(home)}
    if home.as_of is None:
        intake(home, centre_folders())
    plan = make_plan(home)
    if not plan.nothing:
        _execute(home, plan)
    decided = [d for d in ledger.read(home) if before.get(d.delivery_id) != d]
    told = [d for d in decided if d.state == "rejected" or _state(before, d) != d.state]
    answer |= {"home": home.root, "changed": not plan.nothing, "deliveries": [], "broken_rules": []}
    for delivery in told:  # others were looked at again because mapping or code changed, with the same result
        answer["deliveries"].append(
            {key: getattr(delivery, key) for key in ("centre", "name", "extract_date", "state", "reasons")}
        )
        print(f"{delivery.centre}: delivery {delivery.name}: {delivery.state}")
        for reason in delivery.reasons:
            print(f"  {reason}")
        if delivery.state == "rejected" and delivery.erased and not delivery.files:
            print("  It named somebody who has withdrawn consent: its files are gone, from the inbox too.")
    if plan.nothing:
        print("Nothing new." if not decided else "Nothing changed in the tables.")
        if not had_inbox:
            print(f"There was no inbox: put each delivery under {_shown(home.inbox)}/<centre>/<name>/ and run again.")
    else:
        print(f"Up to date after {time.perf_counter() - started:.1f} s. Reports: {_shown(home.reports / 'index.html')}")
    answer["reports"] = home.reports / "index.html"
    broken = broken_rules(home)
    for rule_id, problem in broken.items():
        answer["broken_rules"].append({"rule_id": rule_id, "problem": problem})
        print(f"rule {rule_id} could not run: {problem}", file=sys.stderr)
    if broken:
        print("Until every rule can run, the centres' lists and outboxes stay as they were.", file=sys.stderr)
        return OUR_FAULT
    return REJECTED if any(d.state == "rejected" for d in decided) else 0


def _end_withdrawal(home: Home, answer: dict[str, Any]) -> None:
    """Do what a withdrawal that was cut off, or a restore, has left to do."""
    from pipelines.centres import load_all
    from pipelines.orchestration.plan import CENTRES
    from pipelines.withdraw import finish

    with progress("Taking withdrawn subjects out"):
        done = finish(home, load_all(CENTRES))
    if done:
        tell_withdrawn(done, answer)


def tell_withdrawn(done: "Withdrawn", answer: dict[str, Any]) -> None:
    """Say which deliveries are changed by a withdrawal, or have to be looked into."""
    answer["deliveries_with_it"] = dict(done.deliveries)
    answer["removed"] = [{"centre": d.centre, "name": d.name} for d in done.removed]
    answer["not_searched"] = [{"centre": d.centre, "name": d.name} for d in done.unsearched]
    for centre, n in done.deliveries.items():
        print(f"{centre}: in {n} deliveries, whose files are written anew")
    for each in done.removed:
        print(f"{each.centre}: {each.name} was rejected and is removed; the ledger keeps its sums")
    for each in done.unsearched:
        print(f"{each.centre}: {each.name} was rejected and could not be searched: look into it, in the inbox too")


def _state(deliveries: "Mapping[str, Delivery]", delivery: "Delivery") -> str | None:
    known = deliveries.get(delivery.delivery_id)
    return known.state if known else None


def _execute(home: Home, plan: object) -> None:
    from pipelines.orchestration import session
    from pipelines.orchestration.execute import execute

    stopped = False
    with progress("restage") as show:
        session.listeners.append(show)
        try:
            execute(home, plan)  # type: ignore[arg-type]
        except KeyboardInterrupt:
            stopped = True
        finally:
            session.listeners.remove(show)
    if stopped:
        print("restage: stopped; the next run does it again.", file=sys.stderr, flush=True)
        os._exit(STOPPED)  # with what still works on centres aside, which must not outlast our hold on the home


def _shown(path: Path) -> str:
    """The path as short as it can be typed from here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
