"""A frozen state, its damage and its changes: over a warehouse of two invented rows."""

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from pipelines import freeze as lock
from pipelines.cli import freeze as command
from pipelines.deliveries import acceptances
from pipelines.deliveries.acceptances import Acceptance
from pipelines.errors import RestageError, UsageError
from pipelines.lock import at_work, is_free
from pipelines.orchestration.doctor import examine
from pipelines.warehouse import Home

NAMES = ["RCC-ZZ1-001-M"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    (home.archive / "objects").mkdir(parents=True)
    (home.reports / "study").mkdir(parents=True)
    with closing(duckdb.connect(str(home.database))) as con:
        con.execute("create schema derived; create schema validated")
        con.execute(f"create table derived.adsl as from (values ('{NAMES[0]}', 1), ('RCC-ZZ1-002-X', 2)) t(usubjid, n)")
        con.execute("create table derived.flow as select 2 as n")
        con.execute("create table validated.findings (severity varchar, state varchar)")
    return home


def again(home: Home, sql: str = "") -> Callable[[Home, str], None]:
    """In place of a run: the same warehouse, changed by a statement."""

    def make(scratch: Home, _: str) -> None:
        shutil.copy2(home.database, scratch.database)
        with closing(duckdb.connect(str(scratch.database))) as con:
            con.execute(sql or "select 1")

    return make


def decide(home: Home, query: str, usubjid: str, day: str) -> None:
    acceptances.append(home, Acceptance(query, "me1", usubjid, "v", "A", day, "r", "", ""))


def test_a_table_that_is_damaged_is_named(home: Home) -> None:
    lock.freeze(home, "p1", "A", "test", "code")
    (home.frozen / "p1" / "tables" / "derived.flow.parquet").write_bytes(b"PAR1 no more")
    wrong, _ = lock.verify(home, "p1", lambda *_: pytest.fail("it is not derived"))
    assert wrong == ["tables: derived.flow is not as it was frozen"]
    with pytest.raises(RestageError, match=r"frozen/p1/tables/derived\.flow\.parquet is missing or damaged"):
        lock.take_out(home, NAMES)


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("{"), lambda path: path.write_text("")])
def test_a_state_that_does_not_say_what_it_is_passes_for_none(home: Home, harm: Callable[[Path], None]) -> None:
    """Nobody could tell whether who withdraws is in it."""
    lock.freeze(home, "p1", "A", "test", "code")
    harm(home.frozen / "p1" / "freeze.json")
    for work in (lambda: lock.read(home, "p1"), lambda: lock.take_out(home, NAMES)):
        with pytest.raises(RestageError, match=r"frozen/p1/freeze\.json is missing or damaged") as told:
            work()
        assert not isinstance(told.value, UsageError)
    (wrong,) = [f for f in examine(home) if f.check == "withdrawn"]
    assert (wrong.state, "frozen/p1/freeze.json" in wrong.what) == ("wrong", True)


def test_only_what_was_decided_by_then_is_in_a_frozen_state(home: Home) -> None:
    """Also after lines of an earlier decision have gone with who withdrew."""
    decide(home, "Q1", NAMES[0], "2020-01-01T00:00:00.000+00:00")
    decide(home, "Q2", "RCC-ZZ1-002-X", "2020-01-02T00:00:00.000+00:00")
    lock.freeze(home, "p1", "A", "test", "code")
    decide(home, "Q3", "RCC-ZZ1-002-X", "2999-01-01T00:00:00.000+00:00")
    acceptances.forget(home, NAMES[0])
    found: list[str] = []

    def make(scratch: Home, protocol: str) -> None:
        found.extend(a.query_id for a in acceptances.read(scratch))
        again(home)(scratch, protocol)

    assert lock.verify(home, "p1", make) == ([], 3)
    assert found == ["Q2"]


def test_verifying_says_that_a_subject_withdrew(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    was = lock.freeze(home, "p1", "A", "test", "code")["hash"]
    assert lock.take_out(home, NAMES) == ["p1"]
    without = f"delete from derived.adsl where usubjid = '{NAMES[0]}'; update derived.flow set n = 1"
    monkeypatch.setattr(command, "_make", again(home, without))
    with pytest.raises(command.typer.Exit):
        command._verify(home, "p1", {})
    told = capsys.readouterr().out
    assert "derived.flow: derived anew it differs" in told and "derived.adsl" not in told
    assert f"a subject withdrew consent. It was sha256 {was}" in told
    assert "has to differ since then" in told


def test_an_id_of_a_centre_is_that_of_nobody_else(home: Home) -> None:
    """To others the same text is a patient of theirs, a grade or a line."""
    with closing(duckdb.connect(str(home.database))) as con:
        con.execute(f"""
            create or replace table validated.findings as select *, 'query' as severity, 'new' as state from (values
                ('a', null, '17|file', null, 'me1', '3'), ('b', null, 'x', '17', 'me1', '4'),
                ('c', null, '17|file', null, 'rt1', '3'), ('d', null, 'x', 'y', 'me1', '17'),
                ('e', 'RCC-ZZ1-002-X', 'x', '17', 'me1', '5'), ('f', '{NAMES[0]}', 'x', 'y', 'rt1', '6')
            ) t(query_id, usubjid, record_key, value_received, centre, source_row);
            create table derived.adae as select 'RCC-ZZ1-002-X' as usubjid, '17' as grade
        """)
    (home.reports / "study" / "table1.csv").write_text("n,17\n")
    (home.reports / "study" / "subjects.html").write_text("M00217 and others")
    lock.freeze(home, "p1", "A", "test", "code")
    assert lock.take_out(home, NAMES, {"me1": {"17", "M00217"}}) == ["p1"]
    tables, reports = (home.frozen / "p1" / part for part in ("tables", "reports"))
    with closing(duckdb.connect()) as con:
        left = con.execute(f"select query_id from '{tables}/validated.findings.parquet' order by all").fetchall()
        assert left == [("c",), ("d",), ("e",)]
        assert con.execute(f"select count(*) from '{tables}/derived.adae.parquet'").fetchall() == [(1,)]
    assert [p.name for p in reports.iterdir()] == ["table1.csv"]


def test_nobody_else_is_at_work_while_a_state_is_verified(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    lock.freeze(home, "p1", "A", "test", "code")
    free: list[bool] = []

    def make(scratch: Home, protocol: str) -> None:
        free.append(is_free(home))
        again(home)(scratch, protocol)

    monkeypatch.setattr(command, "_make", make)
    command._verify(home, "p1", {})
    assert free == [False]
    left = home.frozen / ".p1.verifying" / "archive"
    left.mkdir(parents=True)
    with at_work(home):
        assert not left.parent.exists(), "who withdraws would stay in what was killed"
    assert lock.frozen(home) == ["p1"]
