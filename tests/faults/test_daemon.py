"""A real daemon over a home: it takes in what comes, does again what was killed, and runs beside `restage run`."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipelines import study
from pipelines.deliveries import ledger
from pipelines.simulate.simulate import simulate
from pipelines.warehouse import Home, open_read
from tests.conftest import Restage

pytestmark = pytest.mark.slow
CENTRES = ("me1", "rt1")
PATIENCE = 6 * 3600  # ends a test that hangs; how long anything takes under load says nothing


def until(done: Callable[[], Any], daemon: "subprocess.Popen[bytes]") -> Any:
    """Wait for something to be so while the daemon lives; returns it."""
    end = time.monotonic() + PATIENCE
    while not (found := done()):
        assert daemon.poll() is None, "the daemon has ended"
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.2)
    return found


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.exists() else {}


def complete(home: Home) -> dict[str, Any]:
    """The state of a home whose last run came to its end; else nothing."""
    state = read(home.root / "state.json")
    return state if state.get("complete") else {}


def test_two_at_the_same_minute_one_run_killed_and_one_by_hand(tmp_path: Path, restage: Restage) -> None:
    simulate(tmp_path / "made", patients=6, seed=4)
    once, home = Home(tmp_path / "once"), Home(tmp_path / "home")
    for centre in CENTRES:
        shutil.copytree(tmp_path / "made" / "inbox" / centre, once.inbox / centre)
    assert restage("run", "--home", once.root, timeout=PATIENCE).returncode == 0
    home.root.mkdir()
    (home.root / "operation.yaml").write_text("still_seconds: 1\nlook_every_seconds: 1\n")
    code = "from pipelines.cli.main import main; main()"
    daemon = subprocess.Popen(
        [sys.executable, "-c", code, "watch", "--home", str(home.root)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        for centre in CENTRES:
            shutil.copytree(tmp_path / "made" / "inbox" / centre, home.inbox / centre)
        # in the middle of the first run, when it has begun to write tables
        killed = until(lambda: (home.root / "state.json").exists() and read(home.root / "run.json"), daemon)
        os.kill(killed["process"], signal.SIGKILL)
        by_hand = restage("run", "--home", home.root, timeout=PATIENCE)  # waits for the daemon's runs
        assert by_hand.returncode == 0, by_hand.stderr
        state = until(lambda: complete(home), daemon)
        assert all(state["centres"][centre] for centre in CENTRES)
        # the daemon has started the killed run again, and the second one; both find what they have to do or nothing
        until(lambda: finished(home) >= 3, daemon)
    finally:
        os.kill(daemon.pid, signal.SIGTERM)
        assert daemon.wait(PATIENCE) == 0
    assert [(d.centre, d.state) for d in ledger.read(home)] == [(centre, "accepted") for centre in CENTRES]
    lines = (home.archive / "ledger.jsonl").read_text().splitlines()
    assert len(lines) == len(set(lines))
    with closing(open_read(once)) as one, closing(open_read(home)) as other:
        for name in study.tables():
            query = f"from {name} order by all"
            assert one.execute(query).fetchall() == other.execute(query).fetchall(), name


def finished(home: Home) -> int:
    """How many of the daemon's runs have ended: the killed one, its repetition, and the one of the other centre."""
    import dagster as dg

    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
        return sum(run.job_name == "everything" for run in instance.get_runs(dg.RunsFilter(statuses=ended)))
