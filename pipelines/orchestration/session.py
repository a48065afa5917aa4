"""What the assets of one run share: the home, the plan and the one connection that writes the warehouse."""

import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import PrivateAttr

from pipelines import touched, warehouse, withdraw
from pipelines.centres import load_all
from pipelines.deliveries import ledger
from pipelines.deliveries.inbox import is_whole
from pipelines.deliveries.intake import intake
from pipelines.deliveries.ledger import Delivery
from pipelines.deliveries.timeline import Moment, timeline
from pipelines.lock import at_work
from pipelines.mapping import Centre
from pipelines.orchestration import lineage, orphans, past
from pipelines.orchestration.plan import CENTRES, Plan, make_plan, read_state, staged_from, write_state
from pipelines.orchestration.settings import home_here, load_settings
from pipelines.orchestration.take_in import TakenIn, take_in
from pipelines.rules import gx
from pipelines.rules.examples import broken_examples
from pipelines.rules.load import load_rules
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb

CENTRE, DELIVERY, HASH, NIGHTLY = "restage/centre", "restage/delivery", "restage/content", "restage/nightly"
NO_TAGS: Mapping[str, str] = MappingProxyType({})
TAKEN_IN = "restage/taken_in"  # a run whose starter has looked into the inbox itself
listeners: list[Callable[[str], None]] = []


@cache
def all_centres() -> dict[str, Centre]:
    """The centres as they are declared now; a process that runs assets is short-lived."""
    return load_all(CENTRES)


def tell(what: str) -> None:
    """Let whoever shows the progress of this process know what is done now."""
    for listener in listeners:
        listener(what)


class Session:
    """One run over one home; the warehouse is opened when the first table is made, and closed with the run."""

    def __init__(self, home: Home, tags: Mapping[str, str] = NO_TAGS) -> None:
        self.home = home
        self.centres = all_centres()
        withdraw.finish(home, self.centres)
        self.new = () if TAKEN_IN in tags or home.as_of else self._look_into_the_inbox(tags)
        self.plan: Plan = make_plan(home)
        # asked for by the sensor or the schedule, and done by another run since
        self.done_already = self.plan.nothing and not tags.keys().isdisjoint((DELIVERY, NIGHTLY))
        self.only_touched = not self.plan.full
        self.made: dict[str, str] = {}
        self._con: duckdb.DuckDBPyConnection | None = None
        self._taking: dict[str, Future[TakenIn]] | None = None
        # Great Expectations takes seconds to import: a second core does it while deliveries are taken in
        self.recorder = gx.start(home.gx)
        self._handed_over = False
        # and the examples of rules that are new or changed are tried
        aside = ThreadPoolExecutor(1)
        self._broken_examples = aside.submit(broken_examples, load_rules(keep_broken=True), home.root)
        self._origins = aside.submit(lineage.load_origins, home.dagster / lineage.NAME)
        aside.shutdown(wait=False)
        self.moments: list[Moment] = []

    @property
    def con(self) -> "duckdb.DuckDBPyConnection":
        if self._con is None:
            # from here on the warehouse is behind the deliveries until the run is through
            before = read_state(self.home).get("centres", {})
            self.made = staged_from(self.home, self.plan.versions)
            write_state(self.home, self.made, complete=False)
            past.look_back(self.home, self.centres, self.plan.versions, tell)
            con = self._open()
            self.moments = timeline(self.home, self.plan.versions)
            past.show(con, self.home, self.moments, self.centres)
            for problem in self._broken_examples.result().items():
                con.execute("insert into slice.main.rule_problems values (?, ?)", problem)
            changed = [centre for centre, made in self.made.items() if made != before.get(centre, "")]
            self.only_touched = self.only_touched and not past.languages_changed(con)
            if self.only_touched:
                touched.touch(con, changed)
            self._con = con
        return self._con

    def _look_into_the_inbox(self, tags: Mapping[str, str]) -> tuple[Delivery, ...]:
        """Take in the delivery that the run is for, or all that are whole."""
        still = load_settings(self.home).still_seconds
        mine = (tags.get(CENTRE), tags.get(DELIVERY))

        def wanted(centre: str, folder: Path) -> bool:
            return (DELIVERY not in tags or mine == (centre, folder.name)) and is_whole(folder, still)

        return tuple(intake(self.home, self.centres, wanted))

    def _open(self) -> "duckdb.DuckDBPyConnection":
        """The warehouse, open; one that is damaged goes, and is made anew."""
        try:
            return past.open_study(self.home, self.centres)
        except warehouse.DamagedWarehouse:
            for path in self.home.root.glob(f"{self.home.database.name}*"):
                path.unlink()
            self.only_touched = False
            return past.open_study(self.home, self.centres)

    def take_in(self, centre: str, selection: Collection[dg.AssetKey] | None) -> TakenIn:
        """What became of a centre in this run. The first to ask sets all that are selected to work, side by side: each
        writes files of its own, and most of the time is spent outside Python."""
        if self._taking is None:
            names = [c for c in self.centres if selection is None or dg.AssetKey(["staged", c]) in selection]
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                self._taking = {
                    c: pool.submit(
                        take_in, self.home, self.centres[c], self.plan.pending.get(c, ()), self.plan.versions[c]
                    )
                    for c in names
                }
        return self._taking[centre].result()

    @property
    def origins(self) -> "Mapping[str, lineage.Origins]":
        """What the columns of each table are made from, by the table's full name."""
        return self._origins.result()

    def hand_over_rules(self) -> None:
        """Let Great Expectations record the rules while the run goes on; once a run."""
        if not self._handed_over:
            standing = {centre: ledger.in_force(self.home, centre) for centre in self.centres}
            deliveries = {centre: d.delivery_id for centre, d in standing.items() if d}
            gx.hand_over_counts(self.recorder, self.con, deliveries)
            self._handed_over = True

    def recorded_rules(self) -> dict[str, Any]:
        """What Great Expectations made of the rules."""
        self.hand_over_rules()
        return gx.collect(self.recorder, self.con, self.home.gx)

    def complete(self) -> None:
        """Note that the warehouse is what the staged rows say, as they were when it was opened."""
        if self.moments:
            past.keep(self.con, self.home, self.moments[-1])
            past.prune(self.home, self.moments)
        write_state(self.home, self.made, complete=True)

    def close(self) -> None:
        if self.recorder.poll() is None:
            self.recorder.kill()
            self.recorder.communicate()
        if self._con is not None:
            self._con.close()
            self._con = None


class Study(dg.ConfigurableResource):
    """The study's home; without one in the configuration, RESTAGE_HOME or `study-home`. `as_of`: see `Home`.

    A run holds the home from here to its end, and waits where another one does.
    """

    home: str = ""
    as_of: str = ""
    _session: Session | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Study"]:
        here = home_here()
        home = Home(Path(self.home).resolve() if self.home else here.root, self.as_of or here.as_of)
        run = context.dagster_run
        log = context.log or logging.getLogger(__name__)
        if run is not None:
            orphans.show_alive(home, run.run_id)
        with at_work(home, say=log.warning):
            self._session = Session(home, run.tags if run else NO_TAGS)
            for delivery in self._session.new:
                reasons = "".join(f"\n  {reason}" for reason in delivery.reasons)
                log.info(f"{delivery.centre}: delivery {delivery.name}: {delivery.state}{reasons}")
            try:
                yield self
            finally:
                self._session.close()

    @property
    def session(self) -> Session:
        assert self._session is not None, "the resource is used inside a run"
        return self._session
