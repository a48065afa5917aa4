"""One centre's deliveries brought to `staged/<centre>/`: landed, staged and held against the rules that can reject."""

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study, study_schema, warehouse
from pipelines.deliveries import denylist, ledger, search
from pipelines.deliveries.answers import confirm, replies
from pipelines.deliveries.apart import tell_apart
from pipelines.deliveries.changes import CHANGE
from pipelines.deliveries.erase import erase, erase_all, freed_answer
from pipelines.deliveries.history import Step, fold
from pipelines.deliveries.land import land
from pipelines.deliveries.ledger import Delivery
from pipelines.deliveries.manifest import manifest_of
from pipelines.deliveries.tallies import TALLIES, write_tallies
from pipelines.errors import DeliveryRejected, MappingError, Problem
from pipelines.models import LIFE, technical_type
from pipelines.orchestration.plan import MARK, read_json
from pipelines.warehouse import Home, remove, write_whole

if TYPE_CHECKING:
    import duckdb

    from pipelines.mapping import Centre

TECHNICAL = {
    "findings": "centre, delivery_id, table_name, local_id, usubjid, record_key, source_file, source_row, field, "
    "staged_field, value_received, expected, rule_id, raw_key",
    "partial_dates": "centre, delivery_id, table_name, local_id, usubjid, record_key, source_file, source_row, field, "
    "staged_field, value_received, precision, lower_dt, upper_dt",
    "dropped": "centre, delivery_id, source, source_file, source_row, reason",
    "received": "centre, delivery_id, source, source_file, file_sha256, n_rows",
    "changes": ", ".join(CHANGE),
    **TALLIES,
    **LIFE,
}


@dataclass(frozen=True)
class TakenIn:
    """What became of one centre in this run; `delivery` is the one in force, None when it has none."""

    delivery: str | None
    rows: Mapping[str, int]
    n_landed: int
    n_checked: int
    rejected: tuple[DeliveryRejected, ...]
    n_pending: int


def take_in(home: Home, centre: "Centre", pending: tuple[Delivery, ...], version: str) -> TakenIn:
    """Bring `staged/<centre>` up to the newest of its deliveries: one after the other, each on top of those before.

    What is already there under this version of mapping and code stays; a delivery that comes late, out of order, lets
    all be done again from the first one. A rejected delivery changes nothing but its entry in the ledger.
    """
    also = {d.delivery_id for d in pending}
    chain = ledger.chain(home, centre.name, also)
    mark = _mark(home, centre.name)
    done = list(mark["chain"]) if mark.get("version") == version else []
    # what is there and pending all the same has lost its line in the ledger
    if done != [d.delivery_id for d in chain[: len(done)]] or also.intersection(done):
        done = []
    rejected: list[DeliveryRejected] = []
    for delivery in _one_by_one(home, chain, set(done), also, rejected):
        try:
            mark = _without_values(home, centre, delivery, version, done)
        except DeliveryRejected as error:
            rejected.append(error)
            shutil.rmtree(_draft(home, centre.name), ignore_errors=True)
            shutil.rmtree(home.landed / centre.name / delivery.delivery_id, ignore_errors=True)
            # a subject may have been taken out of it just now
            (now,) = (d for d in ledger.read(home) if d.delivery_id == delivery.delivery_id)
            decided = now.decided("rejected", tuple(map(str, error.problems)), version)
            if search.names_withdrawn(home, decided):
                erase_all(home, decided)
            else:
                _enter(home, now, decided)
            continue
        done.append(delivery.delivery_id)
    if not done:
        remove(home, home.staged / centre.name)
        return TakenIn(None, {}, 0, 0, tuple(rejected), len(pending))
    counts = mark["rows"], mark["n_landed"], mark["n_checked"]
    return TakenIn(mark["delivery"], *counts, tuple(rejected), len(pending))


def _one_by_one(
    home: Home, chain: list[Delivery], done: set[str], also: Collection[str], rejected: Collection[object]
) -> Iterator[Delivery]:
    """The deliveries that are not done yet, each as the ledger has it by then.

    Taking a subject out of one changes those that share its files, or leaves a later one nothing of its own. What
    repeats one that was `rejected` stands for itself.
    """
    changing = bool(denylist.read(home))
    while delivery := next((d for d in chain if d.delivery_id not in done), None):
        done.add(delivery.delivery_id)
        yield delivery
        if changing or rejected:
            chain = ledger.chain(home, delivery.centre, set(also) - done)


def _enter(home: Home, before: Delivery, now: Delivery) -> None:
    """Append to the ledger what became of a delivery, unless it says so already, as after a run that was cut off."""
    if now != before:
        ledger.append(home, now)


def _mark(home: Home, centre: str) -> dict[str, Any]:
    return read_json(home.staged / centre / MARK)


def _draft(home: Home, centre: str) -> Path:
    """Where a centre's next state is made; not in `staged/`, where every folder counts as a centre."""
    return home.landed / centre / ".staged"


def _without_values(
    home: Home, centre: "Centre", delivery: Delivery, version: str, done: Sequence[str]
) -> dict[str, Any]:
    """`_follow`; what the database says of a value that it cannot hold quotes the value, and goes no further."""
    import duckdb

    try:
        return _follow(home, centre, delivery, version, done)
    except (duckdb.DataError, duckdb.ProgrammingError) as error:
        kind = type(error).__name__
    # outside, or the error above would be told with this one
    raise MappingError(
        f"{centre.name}/centre.yaml: delivery {delivery.name} cannot be staged by this mapping ({kind}). Nothing of it "
        "was taken in: see whether each field's type, unit and formats are those of what the centre sends."
    )


def _follow(home: Home, centre: "Centre", delivery: Delivery, version: str, done: Sequence[str]) -> dict[str, Any]:
    """Put one delivery, or one answer, on top of the state that `done` has led to; returns what is now known of it."""
    before = home.staged / centre.name if done else None
    draft = _draft(home, centre.name)
    shutil.rmtree(draft, ignore_errors=True)
    if delivery.state == "answer":
        mark = _answered(home, centre, delivery, before, draft)
    else:
        mark = _snapshot(home, centre, delivery, version, before, draft)
    mark |= {"version": version, "chain": [*done, delivery.delivery_id]}
    write_whole(draft / MARK, json.dumps(mark))
    target = home.staged / centre.name
    target.parent.mkdir(parents=True, exist_ok=True)
    remove(home, target)
    draft.rename(target)
    return mark


def _snapshot(
    home: Home, centre: "Centre", delivery: Delivery, version: str, before: Path | None, draft: Path
) -> dict[str, Any]:
    """Land and stage one delivery, hold it against the rules that reject, and add what only the state before had."""
    from pipelines.staging import stage

    centre = centre.on(delivery.extract_date)
    arrived = land(home, centre, delivery)
    landed = home.landed / centre.name / delivery.delivery_id
    if ids := denylist.withdrawn(home, centre, landed):
        delivery = erase(home, centre, delivery, ids)
        arrived = land(home, centre, delivery)
    rows = dict(stage(centre, landed, draft))
    n_checked, problems = stop_rules(draft)
    if problems:
        raise DeliveryRejected(centre.name, delivery.name, problems)
    removed = manifest_of(home, delivery).removed
    if before is not None:
        rows = fold(Step(centre, delivery.delivery_id, delivery.name, removed, arrived.states_removals), before, draft)
    tell_apart(before, draft)
    write_tallies(delivery, before, draft)
    _enter(home, delivery, delivery.decided("accepted", (), version, arrived.n_rows))
    return {"delivery": delivery.delivery_id, "rows": rows, "n_landed": arrived.n_rows, "n_checked": n_checked}


def _answered(home: Home, centre: "Centre", answer: Delivery, before: Path | None, draft: Path) -> dict[str, Any]:
    """The same state without the records whose absence the answer confirms."""
    ledger.hold_sound(home, answer)
    answer = freed_answer(home, centre, answer)
    given = replies(home, centre, answer)
    if before is None:
        draft.mkdir(parents=True)
        return {"delivery": None, "rows": {}, "n_landed": 0, "n_checked": 0}
    shutil.copytree(before, draft, copy_function=os.link)  # files are replaced, never written into
    confirmed = [query for query, reply in given.items() if reply == "confirmed"]
    return _mark(home, centre.name) | {"rows": confirm(centre, draft, answer.delivery_id, confirmed)}


def stop_rules(staged: Path) -> tuple[int, list[Problem]]:
    """Hold one centre's staged rows against the rules that can reject; returns rows checked and problems."""
    from pipelines.rules.load import load_rules
    from pipelines.rules.run import run_rules

    stop = [r for r in load_rules(keep_broken=True) if r.severity == "stop" and not r.raised_by]
    rules = [r for r in stop if r.table.startswith("staged.") or r.problem]
    if not rules:
        return 0, []
    with closing(warehouse.memory()) as con:
        study_schema.create_schema(con)
        con.execute("create schema staged")
        for path in sorted(staged.glob("*.parquet")):
            con.execute(f"create view staged.{path.stem} as from {study.sql_literal(str(path))}")
        run_rules(con, rules)
        n_checked = con.execute("select coalesce(sum(n_checked), 0) from validated.rule_counts").fetchall()[0][0]
        broken = con.execute("select distinct rule_id from validated.rule_counts where status = 'error' order by all")
        if names := [name for (name,) in broken.fetchall()]:
            raise MappingError(f"{', '.join(names)}: DuckDB cannot run this rule, so nothing can be accepted by it.")
        failed = con.execute("""
            select c.title, f.rule_id, f.source_file, f.field, min_by(f.source_row, f.rowid), count(*),
                min(f.suggestion)
            from validated.rule_failures f join validated.rule_counts c using (rule_id, centre)
            group by all order by all
        """).fetchall()
    return int(n_checked), [
        Problem(file, f"column {field}, row {row} ({n} rows)", f"{title} ({rule_id})", suggestion)
        for title, rule_id, file, field, row, n, suggestion in failed
    ]


def declare_staged(con: "duckdb.DuckDBPyConnection", staged: Path) -> None:
    """Write `staged/_declared/`: no rows, but each staged table's columns, also where no centre sends it."""
    folder = staged / "_declared"
    folder.mkdir(parents=True, exist_ok=True)
    selects = {
        name: ", ".join(
            f'null::{c.sql_type} as "{c.name}"'
            for c in {
                **study.staged_columns(name),
                **{n: study.Column(n, "text", "") for n in (*study.PROVENANCE, "_since")},
            }.values()
        )
        for name in study.staged_tables()
    }
    for name, columns in TECHNICAL.items():
        typed = ((c, technical_type(c)) for c in columns.split(", "))
        selects[name] = ", ".join(f"null::{kind} as {column}" for column, kind in typed)
    for name, columns in selects.items():
        target = study.sql_literal(str(folder / f"{name}.parquet"))
        con.execute(f"copy (select {columns} where false) to {target} (format parquet)")
