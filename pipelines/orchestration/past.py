"""What failed after each earlier delivery, a cache that the archive alone can fill again; and who replied what."""

import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import models, study_schema, touched, warehouse
from pipelines.centres import create_table
from pipelines.deliveries import acceptances, ledger
from pipelines.deliveries.answers import read_replies
from pipelines.deliveries.timeline import Moment, timeline
from pipelines.errors import DeliveryRejected
from pipelines.mapping import Centre
from pipelines.orchestration.steps import Step, load_steps
from pipelines.orchestration.take_in import declare_staged, take_in, technical_type
from pipelines.staging import PARQUET
from pipelines.study import sql_literal as lit
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb

CHANGES = "validated.query_changes"


def open_study(home: Home, centres: Mapping[str, Centre]) -> "duckdb.DuckDBPyConnection":
    """The warehouse open for writing, with the study's words in it and the staged rows in sight."""
    con = warehouse.open_write(home)
    declare_staged(con, home.staged)
    known = warehouse.exists(con, "study.centres")
    before = "from store.study.centres" if known else "select '' as centre, '' as language"
    con.execute(f"create or replace temp table centres_before as {before}")
    con.execute("create schema if not exists store.study; use store")
    study_schema.create_schema(con)
    create_table(con, centres)
    con.execute("use memory")
    models.prepare(con, home.staged)
    return con


def languages_changed(con: "duckdb.DuckDBPyConnection") -> bool:
    """Whether a centre reads another language than when the warehouse was made: texts are kept with the rows."""
    return bool(
        warehouse.count(
            con, "centres_before b join store.study.centres c using (centre) where b.language <> c.language"
        )
    )


def kept(home: Home, moment: Moment) -> Path:
    """Where the changes of the queries at one moment are kept: columns as `validated.query_changes`."""
    return home.history / f"{moment.key}.parquet"


def keep(con: "duckdb.DuckDBPyConnection", home: Home, moment: Moment) -> None:
    """Keep what the tables that were just made say of this moment."""
    home.history.mkdir(parents=True, exist_ok=True)
    draft = home.history / ".part"
    con.execute(f"copy (from store.{CHANGES} order by query_id) to {lit(str(draft))} {PARQUET}")
    draft.replace(kept(home, moment))


def prune(home: Home, moments: Sequence[Moment]) -> None:
    """Remove what was made from deliveries, mappings or code that are others now."""
    known = {kept(home, moment) for moment in moments}
    for path in home.history.glob("*.parquet"):
        if path not in known:
            path.unlink()


def look_back(
    home: Home,
    centres: Mapping[str, Centre],
    versions: Mapping[str, str],
    tell: Callable[[str], None] = lambda what: None,
) -> None:
    """Fill the cache for every moment before the newest that is not in it, by the steps of a run over the archive.

    The study is made once more in a folder of its own, delivery by delivery, up to what fails: whatever came first to
    last year's archive is told as it would have been told then, under the rules of today.
    """
    earlier = timeline(home, versions)[:-1]
    missing = [moment.epoch for moment in earlier if not kept(home, moment).exists()]
    if not missing:
        return
    steps = _needed(load_steps())
    with tempfile.TemporaryDirectory(prefix=".looking-back-", dir=home.root) as scratch:
        past = Home(Path(scratch))
        past.archive.mkdir()
        (past.archive / "objects").symlink_to((home.archive / "objects").resolve())
        changed: set[str] = set()
        for moment in earlier[: missing[-1]]:
            tell(f"earlier deliveries {moment.day}")
            changed |= {d.centre for d in moment.deliveries}
            for delivery in moment.deliveries:
                ledger.append(past, delivery)
            if moment.epoch < missing[0]:
                continue  # its rows come with those of the next one
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(lambda c: take_in(past, centres[c], (), versions[c]), sorted(changed)))
            first = not past.database.exists()
            with closing(open_study(past, centres)) as con:
                if not first:
                    touched.touch(con, sorted(changed))
                show(con, home, earlier[: moment.epoch], centres)
                for step in steps:
                    step.run(con, not first)
                keep(con, home, moment)
            changed = set()


def _needed(steps: Sequence[Step]) -> list[Step]:
    """The steps without which nobody knows what fails, in their order."""
    wanted, found = {CHANGES}, []
    for step in reversed(steps):
        if wanted & {*step.makes}:
            wanted |= {*step.deps}
            found.append(step)
    return found[::-1]


def show(
    con: "duckdb.DuckDBPyConnection", home: Home, moments: Sequence[Moment], centres: Mapping[str, Centre]
) -> None:
    """Let `staged.deliveries`, `failed_before`, `replies` and `acceptances` be what the last of `moments` knows."""
    deliveries = [
        (m.epoch, d.centre, d.delivery_id, m.day, "answer" if d.state == "answer" else "snapshot")
        for m in moments
        for d in m.deliveries
    ]
    epoch_of = {row[2]: row[0] for row in deliveries}
    # an export that came since does not say that a reply which we could not use was given again
    last = {row[1]: row[2] for row in deliveries if row[4] == "answer"}
    rows: dict[str, list[tuple[Any, ...]]] = {"deliveries": deliveries, "replies": [], "acceptances": []}
    for moment in moments:
        for answer in (d for d in moment.deliveries if d.state == "answer"):
            newest = "Y" if last[answer.centre] == answer.delivery_id else "N"
            rows["replies"] += [
                (moment.epoch, answer.centre, answer.delivery_id, *row.values(), newest, None)
                for row in _replies(home, centres[answer.centre], answer)
            ]
    for a in acceptances.read(home):
        # what it was decided after may have been taken out of the order since then
        epoch = epoch_of.get(a.after, epoch_of.get(a.reply_delivery))
        if epoch is not None:
            rows["acceptances"].append((epoch, a.query_id, a.value_hash, a.accepted_by, a.accepted_on, a.accept_reason))
    if files := [lit(str(kept(home, moment))) for moment in moments[:-1]]:
        con.execute(
            f"create or replace view slice.main.staged_failed_before as from read_parquet([{', '.join(files)}])"
        )
    for name, given in rows.items():
        columns = ", ".join(f"{c} {technical_type(c)}" for c in models.LIFE[name].split(", "))
        con.execute(f"create or replace table slice.main.{name}_given ({columns})")
        if given:
            marks = ", ".join(f"({', '.join(map(lit, row))})" for row in given)
            con.execute(f"insert into slice.main.{name}_given values {marks}")
        con.execute(f"create or replace view slice.main.staged_{name} as from slice.main.{name}_given")
    con.execute("""
        update slice.main.replies_given r set usubjid = b.usubjid
        from (select query_id, any_value(usubjid) as usubjid from slice.main.staged_failed_before group by query_id) b
        where b.query_id = r.query_id
    """)


def _replies(home: Home, centre: Centre, answer: ledger.Delivery) -> list[dict[str, str | None]]:
    try:
        return read_replies(home, centre, answer)
    except DeliveryRejected:
        return []  # it was readable under another mapping; the run that judges it says so
