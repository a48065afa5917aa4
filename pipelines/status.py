"""Where each centre stands: its last delivery, when the next is due, and what is still asked of it."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from pipelines.deliveries import ledger
from pipelines.warehouse import Home, open_read

if TYPE_CHECKING:
    from pipelines.mapping import Centre

WAITING = "severity <> 'note' and state in ('new', 'open', 'reopened')"  # for a reply of the centre


@dataclass(frozen=True)
class Standing:
    """One centre today. `freshness` is never, fresh or late; `last_state` is that of the newest delivery, which need
    not be the one in force."""

    centre: str
    delivery: str | None
    data_cut: str | None
    received: str | None
    last_state: str | None
    cadence_days: int
    due: str | None
    freshness: str
    queries: int | None

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
    """One row per declared centre, in their order.

    `lateness` goes by the extract date of the delivery in force. `queries` counts those that wait for its reply; it is
    empty before the first run.
    """
    asked = _asked(home)
    found = []
    for name, centre in centres.items():
        mine = [d for d in ledger.read(home) if d.centre == name]
        newest = max(mine, key=lambda d: d.received, default=None)
        holds = ledger.in_force(home, name)
        due, n_late = None, 0
        if holds:
            cut = date.fromisoformat(holds.extract_date[:10])
            due, n_late = lateness(cut, centre.cadence_days, late_after_pct, today)
        found.append(
            Standing(
                centre=name,
                delivery=holds.name if holds else None,
                data_cut=holds.extract_date[:10] if holds else None,
                received=holds.received[:10] if holds else None,
                last_state=newest.state if newest else None,
                cadence_days=centre.cadence_days,
                due=due.isoformat() if due else None,
                freshness="never" if holds is None else "late" if n_late else "fresh",
                queries=None if asked is None else asked.get(name, 0),
            )
        )
    return found


def _asked(home: Home) -> dict[str, int] | None:
    if not home.database.exists():
        return None
    with closing(open_read(home)) as con:
        there = con.execute(
            "select column_name from duckdb_columns() where schema_name = 'validated' and table_name = 'findings'"
        ).fetchall()
        if not {("centre",), ("severity",), ("state",)} <= {*there}:
            return None  # no run yet, or the last one was by a version that knew no states
        rows = con.execute(f"select centre, count(*) from validated.findings where {WAITING} group by all")
        return dict(rows.fetchall())
