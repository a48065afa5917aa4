"""Where each centre stands: its last delivery, when the next is due, and what is still asked of it; and which rules
could not run."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.deliveries import ledger
from pipelines.study import sql_literal
from pipelines.warehouse import Home, open_read

if TYPE_CHECKING:
    from pipelines.mapping import Centre

WAITING = "severity <> 'note' and state in ('new', 'open', 'reopened')"  # for a reply of the centre


@dataclass(frozen=True)
class Standing:
    """One centre today. `freshness` is never, fresh or late; `last_state` is that of the newest delivery, which need
    not be the one in force; `queries` is empty before the first run."""

    centre: str
    delivery: str | None
    data_cut: str | None
    received: str | None
    last_state: str | None
    cadence_days: int
    due: str | None
    freshness: str
    queries: int | None = None

    def row(self) -> dict[str, Any]:
        return asdict(self)


def patience(cadence_days: int, late_after_pct: int) -> timedelta:
    """How long a centre may be silent before it is late; `late_after_pct` of `study/operation.yaml` leaves a margin."""
    return timedelta(days=cadence_days) * late_after_pct / 100


def lateness(cut: date, cadence_days: int, late_after_pct: int, today: date) -> tuple[date, int]:
    """When the delivery after the data cut `cut` is due, and how many days late it is; 0 within the margin."""
    due = cut + timedelta(days=cadence_days)
    return due, (today - due).days if today - cut > patience(cadence_days, late_after_pct) else 0


def standings(home: Home, centres: Mapping[str, "Centre"], late_after_pct: int, today: date) -> list[Standing]:
    """One row per declared centre, in their order; `queries` counts those that wait for its reply."""
    asked = _asked(home)
    rows = [standing(home, centre, late_after_pct, today) for centre in centres.values()]
    return [replace(row, queries=None if asked is None else asked.get(row.centre, 0)) for row in rows]


def standing(home: Home, centre: "Centre", late_after_pct: int, today: date) -> Standing:
    """Where one centre stands by the archive alone, without its `queries`; `lateness` goes by the extract date of the
    delivery in force."""
    newest = max((d for d in ledger.read(home) if d.centre == centre.name), key=lambda d: d.received, default=None)
    holds = ledger.in_force(home, centre.name)
    due, n_late = None, 0
    if holds:
        cut = date.fromisoformat(holds.extract_date[:10])
        due, n_late = lateness(cut, centre.cadence_days, late_after_pct, today)
    return Standing(
        centre=centre.name,
        delivery=holds.name if holds else None,
        data_cut=holds.extract_date[:10] if holds else None,
        received=holds.received[:10] if holds else None,
        last_state=newest.state if newest else None,
        cadence_days=centre.cadence_days,
        due=due.isoformat() if due else None,
        freshness="never" if holds is None else "late" if n_late else "fresh",
    )


def broken_rules(home: Home) -> dict[str, str]:
    """The rules that the tables were made without, of ours and of Great Expectations: id -> file, and why."""
    from pipelines.rules.gx import native_problems

    wrong = "select distinct rule_id, problem from validated.rule_counts where status = 'error' order by all"
    counted = _from_validated(home, "rule_counts", {"rule_id", "problem", "status"}, wrong)
    return {**dict(counted or ()), **native_problems(home.gx)}


def _asked(home: Home) -> dict[str, int] | None:
    query = f"select centre, count(*) from validated.findings where {WAITING} group by all"
    rows = _from_validated(home, "findings", {"centre", "severity", "state"}, query)
    return None if rows is None else dict(rows)


def _from_validated(home: Home, table: str, columns: set[str], query: str) -> list[tuple[Any, ...]] | None:
    """None without a run, and where the last one was by a version that knew no such columns."""
    if not home.database.exists():
        return None
    with closing(open_read(home)) as con:
        # no parameter: for one DuckDB would import pandas
        where = f"schema_name = 'validated' and table_name = {sql_literal(table)}"
        there = con.execute(f"select column_name from duckdb_columns() where {where}").fetchall()
        return con.execute(query).fetchall() if columns <= {name for (name,) in there} else None
