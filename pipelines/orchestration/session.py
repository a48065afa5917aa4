"""What the assets of one run share: the home, the plan and the one connection that writes the warehouse."""

import os
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import PrivateAttr

from pipelines import models
from pipelines.centres import load_all
from pipelines.deliveries import ledger
from pipelines.deliveries.timeline import Moment, timeline
from pipelines.mapping import Centre
from pipelines.orchestration import past
from pipelines.orchestration.plan import CENTRES, Plan, make_plan, write_state
from pipelines.orchestration.take_in import TakenIn, take_in
from pipelines.rules import gx
from pipelines.rules.examples import broken_examples
from pipelines.rules.load import load_rules
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb

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

    def __init__(self, home: Home) -> None:
        self.home = home
        self.plan: Plan = make_plan(home)
        self.centres = all_centres()
        self.only_touched = not self.plan.full
        self._con: duckdb.DuckDBPyConnection | None = None
        self._taking: dict[str, Future[TakenIn]] | None = None
        # Great Expectations takes seconds to import: a second core does it while deliveries are taken in
        self.recorder = gx.start(home.gx)
        self._handed_over = False
        # and the examples of rules that are new or changed are tried
        aside = ThreadPoolExecutor(1)
        self._broken_examples = aside.submit(broken_examples, load_rules(keep_broken=True), home.root)
        aside.shutdown(wait=False)
        self.moments: list[Moment] = []

    @property
    def con(self) -> "duckdb.DuckDBPyConnection":
        if self._con is None:
            # from here on the warehouse is behind the deliveries until the run is through
            now = make_plan(self.home)
            write_state(self.home, now.versions, complete=False)
            past.look_back(self.home, self.centres, now.versions, tell)
            con = past.open_study(self.home, self.centres)
            self.moments = timeline(self.home, now.versions)
            past.show(con, self.home, self.moments, self.centres)
            for problem in self._broken_examples.result().items():
                con.execute("insert into slice.main.rule_problems values (?, ?)", problem)
            if self.only_touched and now.changed:
                models.touch(con, list(now.changed))
            self._con = con
        return self._con

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
        if self.moments:
            past.keep(self.con, self.home, self.moments[-1])
            past.prune(self.home, self.moments)
        write_state(self.home, self.plan.versions, complete=True)

    def close(self) -> None:
        if self.recorder.poll() is None:
            self.recorder.kill()
            self.recorder.communicate()
        if self._con is not None:
            self._con.close()
            self._con = None


class Study(dg.ConfigurableResource):
    """The study's home; without one in the configuration, RESTAGE_HOME or `study-home`. `as_of`: see `Home`."""

    home: str = ""
    as_of: str = ""
    _session: Session | None = PrivateAttr(default=None)

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Study"]:
        root = Path(self.home or os.environ.get("RESTAGE_HOME") or "study-home").resolve()
        self._session = Session(Home(root, self.as_of or os.environ.get("RESTAGE_AS_OF") or None))
        try:
            yield self
        finally:
            self._session.close()

    @property
    def session(self) -> Session:
        assert self._session is not None, "the resource is used inside a run"
        return self._session
