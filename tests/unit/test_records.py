"""Dagster's events in files that its own class reads, written through connections that stay open."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage

from pipelines.orchestration.doctor import examine
from pipelines.orchestration.execute import prepare_dagster
from pipelines.orchestration.records import KeptConnections
from pipelines.warehouse import Home


@dg.asset
def one() -> int:
    return 1


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A path as people have them; what the environment says is put back."""
    return Home(tmp_path / "una cartella: più")


@pytest.fixture
def instance(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    for name in ("DAGSTER_HOME", "RESTAGE_HOME", "RESTAGE_AS_OF"):
        monkeypatch.setenv(name, "")
    home.root.mkdir()
    prepare_dagster(home)
    with dg.DagsterInstance.from_config(str(home.dagster)) as found:
        yield found


def kept(instance: dg.DagsterInstance) -> dict[str, Any]:
    storage = instance.event_log_storage
    assert isinstance(storage, KeptConnections)
    return storage._kept


def test_of_many_runs_the_last_one_and_the_index_are_open(instance: dg.DagsterInstance) -> None:
    runs = [dg.materialize([one], instance=instance).run_id for _ in range(3)]
    assert kept(instance).keys() == {"index", runs[-1]}
    assert all(instance.all_logs(run) for run in runs)
    instance.dispose()
    assert kept(instance) == {}


def test_dagsters_own_class_reads_the_same_events(instance: dg.DagsterInstance, home: Home) -> None:
    run = dg.materialize([one], instance=instance).run_id
    theirs = SqliteEventLogStorage(str(home.dagster / "history" / "runs"))
    assert [e.user_message for e in theirs.get_logs_for_run(run)] == [e.user_message for e in instance.all_logs(run)]
    assert theirs.get_asset_records([dg.AssetKey("one")])[0].asset_entry.last_run_id == run


def test_two_processes_write_at_once(instance: dg.DagsterInstance, home: Home) -> None:
    """Each sees what the other wrote while its connections stay open."""
    first = dg.materialize([one], instance=instance).run_id
    code = f"""
import dagster as dg
from tests.unit.test_records import one
with dg.DagsterInstance.from_config({str(home.dagster)!r}) as instance:
    assert instance.all_logs({first!r})
    print(dg.materialize([one], instance=instance).run_id)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    other = said.stdout.split()[-1]
    latest = instance.get_latest_materialization_event(dg.AssetKey("one"))
    assert latest is not None and latest.run_id == other
    assert instance.all_logs(other)


def test_wiping_leaves_nothing_and_goes_on(instance: dg.DagsterInstance) -> None:
    run = dg.materialize([one], instance=instance).run_id
    instance.wipe()
    assert instance.all_logs(run) == []
    assert dg.materialize([one], instance=instance).success


def test_records_that_the_disk_has_damaged_are_put_aside_and_begun_anew(
    home: Home, instance: dg.DagsterInstance
) -> None:
    dg.materialize([one], instance=instance)
    instance.dispose()
    files = sorted(home.dagster.rglob("*.db"))
    for path in files:
        path.write_bytes(b"no database" * 5000)
    (finding,) = (f for f in examine(home) if f.check == "runs")
    assert (finding.state, "puts them aside" in finding.advice) == ("wrong", True)
    assert f"--home '{home.root}'" in finding.advice, "as a shell takes it"
    prepare_dagster(home)
    assert [path.with_name(f"{path.name}.damaged").exists() for path in files] == [True] * len(files)
    with dg.DagsterInstance.from_config(str(home.dagster)) as anew:
        assert dg.materialize([one], instance=anew).success
    assert [f.state for f in examine(home) if f.check == "runs"] == ["ok"]
