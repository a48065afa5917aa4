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

from pipelines import models, study_schema, warehouse
from pipelines.centres import create_table, load_all
from pipelines.mapping import Centre
from pipelines.orchestration.plan import CENTRES, Plan, make_plan, read_state, staged_from, write_state
from pipelines.orchestration.take_in import TakenIn, declare_staged, take_in
from pipelines.rules import gx
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
        self.made: dict[str, str] = {}
        self._con: duckdb.DuckDBPyConnection | None = None
        self._taking: dict[str, Future[TakenIn]] | None = None
        # Great Expectations takes seconds to import: a second core does it while deliveries are taken in
        self.recorder = gx.start(home.gx)
        self._handed_over = False

    @property
    def con(self) -> "duckdb.DuckDBPyConnection":
        if self._con is None:
            # from here on the warehouse is behind the deliveries until the run is through
            before = read_state(self.home).get("centres", {})
            self.made = staged_from(self.home, self.plan.versions)
            write_state(self.home, self.made, complete=False)
            con = self._open()
            declare_staged(con, self.home.staged)
            con.execute("create schema if not exists store.study; use store")
            study_schema.create_schema(con)
            create_table(con, self.centres)
            con.execute("use memory")
            models.prepare(con, self.home.staged)
            changed = [centre for centre, made in self.made.items() if made != before.get(centre, "")]
            if self.only_touched and changed:
                models.touch(con, changed)
            self._con = con
        return self._con

    def _open(self) -> "duckdb.DuckDBPyConnection":
        """The warehouse; one that is damaged goes, and is made anew."""
        try:
            return warehouse.open_write(self.home)
        except warehouse.DamagedWarehouse:
            for path in self.home.root.glob(f"{self.home.database.name}*"):
                path.unlink()
            self.only_touched = False
            return warehouse.open_write(self.home)

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
        """Let Great Expectations record the counts of the rules while the run goes on; once a run."""
        if not self._handed_over:
            gx.hand_over(self.recorder, self.con)
            self._handed_over = True

    def recorded_rules(self) -> dict[str, Any]:
        """What Great Expectations made of the rules."""
        self.hand_over_rules()
        return gx.collect(self.recorder)

    def complete(self) -> None:
        """Note that the warehouse is what the staged rows say, as they were when it was opened."""
        write_state(self.home, self.made, complete=True)

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
