"""A month of a study that is left alone: `python -m tests.faults.month ROOT MADE --seed S ...`; prints how runs ended.

Each day deliveries arrive, the sensor looks into the inbox, its runs are done one after the other, and at night the
schedule brings everything up to date: as the daemon does it, with days that take no time. Every look and every run is a
process of its own, forked from one that has imported everything. Some runs are killed, one finds the disk full and one
the warehouse open in another program; some days nobody looks, because the machine is off.
"""

import argparse
import json
import random
import shutil
import signal
import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.faults.faulty import Fault, forked, opened

FIRST = date(2017, 5, 1)
CADENCES = (8, 10, 12, 14, 17, 21, 25)
SETTINGS = "still_seconds: 0\n"
TRIES = 4  # a run and its repetitions, as automation.JOB_TAGS says


def prepare(root: Path) -> None:
    """Make the home and import what a run needs, and for that it must know the home's settings. Great Expectations and
    the study's pages take most of a run's time and are left out."""
    root.mkdir(parents=True)
    (root / "operation.yaml").write_text(SETTINGS)
    import lifelines  # noqa: F401
    import pandas  # noqa: F401

    from pipelines.orchestration.execute import prepare_dagster
    from pipelines.warehouse import Home

    prepare_dagster(Home(root))
    from pipelines.orchestration import orphans, session
    from pipelines.outbox import keep
    from pipelines.reports import centre_report, index, study_report

    class NoRecorder:
        def poll(self) -> int:
            return 0

    session.gx.start = lambda out: NoRecorder()
    session.gx.hand_over_counts = lambda process, con, deliveries: None
    session.gx.collect = lambda process, con, out: {}
    study_report.write_study = lambda con, home: []
    centre_report.write_centre = lambda con, home, centre, may_stay=False: []
    keep.keep = lambda *given: []
    index.write_index = lambda con, home, margin: [home.reports.mkdir(exist_ok=True), home.reports][1:]
    orphans.GRACE = 0
    from pipelines.definitions import defs  # noqa: F401


@dataclass
class Study:
    """The home, the day that it is there, and how the runs ended."""

    root: Path
    day: date = FIRST
    cursor: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)
    changes: int = 400  # how many a run makes; counted by the first one
    least: int = 400  # and one with little to do

    def look(self, schedule: bool = False) -> list[tuple[str, list[str], dict[str, str]]]:
        """What the sensor, or the schedule, asks for today: run key, assets and tags."""

        def evaluate() -> dict[str, Any]:
            import dagster as dg

            from pipelines.definitions import defs

            noon = datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC)
            with dg.DagsterInstance.from_config(str(self.root / "dagster")) as instance:
                if schedule:
                    context = dg.build_schedule_context(instance, noon)
                    made = defs.resolve_schedule_def("nightly").evaluate_tick(context)
                else:
                    context = dg.build_sensor_context(instance, self.cursor or None, definitions=defs)
                    made = defs.resolve_sensor_def("inbox").evaluate_tick(context)
                requests = [
                    (r.run_key, ["/".join(k.path) for k in r.asset_selection], dict(r.tags))
                    for r in made.run_requests or []
                    if not instance.get_runs(dg.RunsFilter(tags={"dagster/run_key": r.run_key}))
                ]
            return {"requests": requests, "cursor": getattr(made, "cursor", None)}

        answer, _ = forked(evaluate)
        assert "said" in answer, answer
        self.cursor = answer["said"]["cursor"] or self.cursor
        return [tuple(r) for r in answer["said"]["requests"]]

    def run(self, request: tuple[str, list[str], dict[str, str]], fault: str = "", at: float = 0.0) -> str:
        """Do one run, with what goes wrong in it: `kill` (after a share of its changes), `full`, `open`."""
        key, assets, tags = request

        def execute() -> int:
            import dagster as dg

            from pipelines.definitions import defs
            from pipelines.deliveries import ledger
            from pipelines.orchestration import session

            ledger.now = lambda: datetime.combine(self.day, datetime.now(UTC).timetz()).isoformat(
                timespec="milliseconds"
            )
            struck = Fault(
                self.root, fault, 1 + int(at * (self.changes if fault == "kill" else 40)), (at * 1000) % 0.05
            )
            session.listeners.append(struck.point)
            sys.addaudithook(struck)
            quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
            selection = [dg.AssetKey(name.split("/")) for name in assets]
            with dg.DagsterInstance.from_config(str(self.root / "dagster")) as instance:
                defs.resolve_job_def("everything").execute_in_process(
                    instance=instance,
                    asset_selection=selection,
                    run_config=quiet,
                    tags={**tags, "dagster/run_key": key},
                )
            return struck.n

        if fault == "open":
            with opened(self.root / "warehouse.duckdb"):
                answer, gone = forked(execute)
        else:
            answer, gone = forked(execute)
        if not fault:
            assert "said" in answer, answer
            self.changes, self.least = max(200, answer["said"]), min(self.least, answer["said"])
        ended = "killed" if gone == signal.SIGKILL else "failed" if "error" in answer else "done"
        met = "" if ended == "done" else fault
        self.log.append({"day": str(self.day), "key": key, "fault": met, "at": at, "ended": ended,
                         "error": answer.get("error", "")})  # fmt: skip
        return ended

    def night(self) -> None:
        for request in self.look(schedule=True):
            self.run(request)


def deliveries(made: Path, centres: list[str], days: int) -> list[tuple[int, str, str, Path, str]]:
    """Day, centre, name of the folder, what it holds and what is wrong with it, in the order in which they come.

    Exports with faults and without follow each other, so that each second one corrects the first; the first centre also
    sends one twice, the second one that is cut off, the last one late, after a newer one.
    """
    plan = []
    for place, centre in enumerate(centres):
        for number, day in enumerate(range(1, days + 1, CADENCES[place % len(CADENCES)])):
            source = made / ("spoilt" if number % 2 == 0 else "clean") / "inbox" / centre
            plan.append((day, centre, f"{FIRST + timedelta(day - 1)}_export", next(source.iterdir()), ""))
    last = {centre: source for _, centre, _, source, _ in plan}
    half = max(2, days // 2)
    plan.append((half, centres[0], f"{FIRST + timedelta(half)}_again", last[centres[0]], ""))
    plan.append((half, centres[1], f"{FIRST + timedelta(half)}_cut", last[centres[1]], "cut"))
    plan.append((half, centres[-1], "2017-04-20_late", next((made / "spoilt/inbox" / centres[-1]).iterdir()), ""))
    return sorted(plan, key=lambda entry: entry[:3])


def put(root: Path, centre: str, name: str, source: Path, wrong: str) -> None:
    """Let a delivery appear in the inbox at once. Its manifest would say another date; of one that is cut off it says
    what is missing."""
    hidden = root / "inbox" / centre / f".{name}"
    shutil.copytree(source, hidden)
    if wrong:
        largest = max((p for p in hidden.rglob("*") if p.name != "manifest.yaml"), key=lambda p: p.stat().st_size)
        largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    else:
        (hidden / "manifest.yaml").unlink(missing_ok=True)
    hidden.rename(hidden.with_name(name))


def live(root: Path, made: Path, centres: list[str], days: int, seed: int, faults: list[str]) -> list[dict[str, Any]]:
    """The month; returns how each run ended."""
    study, chance = Study(root), random.Random(seed)
    coming = deliveries(made, centres, days)
    off = set(chance.sample(range(2, days), max(1, days // 10)))
    places = set(chance.sample(range(1, len(coming) - 1), len(faults)))
    faults, number = chance.sample(faults, len(faults)), 0
    for day in range(1, days + 1):
        study.day = FIRST + timedelta(day - 1)
        for entry in [e for e in coming if e[0] == day]:
            put(root, *entry[1:])
        if day in off:
            continue
        asked = study.look()
        assert not asked or study.look() == [], "what has been asked for is not asked for again"
        for request in asked:
            # a run with little to do may end before its fault comes; the next one gets it, wherever any run comes to
            fault = faults.pop() if len(faults) > sum(place > number for place in places) else ""
            ended = study.run(
                request, fault, chance.random() * (1 if number in places else study.least / study.changes)
            )
            faults += [fault] if fault and ended == "done" else []
            number += 1
            for _ in range(TRIES - 1 if chance.random() < 0.7 else 0):  # else the night repairs it
                if ended != "killed":
                    break
                study.look()
                ended = study.run(request, fault if chance.random() < 0.3 else "", chance.random())
        study.night()
    study.night()
    return study.log


def clean(root: Path, made: Path, centres: list[str], days: int) -> None:
    """One run over the same deliveries, received on the same days."""
    for entry in deliveries(made, centres, days):
        put(root, *entry[1:])
    Study(root).night()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("made", type=Path)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--centres", required=True)
    parser.add_argument("--faults", default="", help="comma-separated: kill, full, open; without: one clean run")
    given = parser.parse_args()
    prepare(given.root.resolve())
    centres = given.centres.split(",")
    if given.seed is None:
        clean(given.root.resolve(), given.made.resolve(), centres, given.days)
        print("[]")
        return
    log = live(given.root.resolve(), given.made.resolve(), centres, given.days, given.seed, given.faults.split(","))
    print(json.dumps(log))


if __name__ == "__main__":
    main()
