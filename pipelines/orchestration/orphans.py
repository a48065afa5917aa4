"""Runs whose process ended without a word: killed, or gone with the machine. Dagster itself would wait for them.

Every run holds a lock of its own until its process ends; the operating system gives it back, however that is.
"""

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pipelines.warehouse import Home

if TYPE_CHECKING:
    import dagster as dg
    from filelock import BaseFileLock

GRACE = 60  # seconds that a run may take from its start to its lock
SAID = "The process of this run has ended without a word: it was killed, or the machine went down."
_held: "dict[str, BaseFileLock]" = {}


def show_alive(home: Home, run_id: str) -> None:
    """Hold the run's lock as long as this process lives."""
    if run_id not in _held:
        _held[run_id] = _lock(home, run_id)
        _held[run_id].acquire(blocking=False)


def fail_orphans(instance: "dg.DagsterInstance", home: Home, now: float | None = None) -> list[str]:
    """Let Dagster know which runs are gone, so that those that wait for them can start; returns their ids."""
    import dagster as dg
    from filelock import Timeout

    gone = []
    at_work = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])
    for record in instance.get_run_records(at_work):
        run_id = record.dagster_run.run_id
        began = record.start_time or record.create_timestamp.timestamp()
        if run_id in _held or (time.time() if now is None else now) - began < GRACE:
            continue
        with suppress(Timeout), _lock(home, run_id).acquire(blocking=False):
            run = instance.get_run_by_id(run_id)  # it may have ended properly since
            if run is not None and not run.is_finished:
                instance.report_run_failed(run, SAID)
                gone.append(run_id)
    for path in (home.dagster / "alive").glob("*.lock"):
        with suppress(Timeout), _lock(home, path.stem).acquire(blocking=False):
            path.unlink()
    return gone


def _lock(home: Home, run_id: str) -> "BaseFileLock":
    from filelock import FileLock

    folder = home.dagster / "alive"
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{run_id}.lock", thread_local=False)
