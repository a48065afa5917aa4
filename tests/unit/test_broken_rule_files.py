"""While a rule of ours cannot run, a centre is told what it was told last: an open query does not vanish for that."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from pipelines import warehouse
from pipelines.deliveries import ledger
from pipelines.deliveries.ledger import Delivery
from pipelines.orchestration.files import centre_files
from pipelines.outbox.keep import FILES, newest
from pipelines.reports import centre_report
from pipelines.warehouse import Home

CENTRE: Any = SimpleNamespace(name="one")


@pytest.fixture
def con(monkeypatch: pytest.MonkeyPatch) -> Iterator[duckdb.DuckDBPyConnection]:
    """A warehouse whose rules ran or not, and reports that hold what `asked` says."""

    def write(con: duckdb.DuckDBPyConnection, home: Home, centre: Any, may_stay: bool = False) -> list[Path]:
        folder = home.reports / "centres" / centre.name
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (folder / name).write_text(str(con.execute("select text from asked").fetchall()[0][0]))
        return [folder / name for name in FILES]

    monkeypatch.setattr(centre_report, "write_centre", write)
    with closing(warehouse.memory()) as con:
        con.execute("attach ':memory:' as store; create schema store.validated; create table asked (text varchar)")
        con.execute("create table store.validated.rule_counts (status varchar); insert into asked values ('')")
        yield con


def run(con: duckdb.DuckDBPyConnection, home: Home, status: str, asked: str) -> tuple[str, str | None]:
    """What the list and the last edition in the outbox hold after a run."""
    con.execute(f"delete from store.validated.rule_counts; insert into store.validated.rule_counts values ('{status}')")
    con.execute(f"update asked set text = '{asked}'")
    paths = centre_files(con, home, CENTRE)
    found = newest(home, CENTRE.name)
    (list_,) = [path for path in paths if path.name == "queries.csv"]
    return list_.read_text(), (found[1] / "queries.csv").read_text() if found else None


def received(home: Home, day: str) -> None:
    ledger.append(
        home, Delivery(f"one-{day}-00000000", CENTRE.name, day, f"{day}T08:00:00.000+00:00", day, {}, "accepted")
    )


def test_a_list_stays_as_it_was_until_every_rule_runs_again(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    home = Home(tmp_path)
    received(home, "2017-04-02")
    assert run(con, home, "pass", "Q1") == ("Q1", "Q1")
    received(home, "2017-05-02")
    assert run(con, home, "error", "") == ("Q1", "Q1")
    warehouse.clear_reports(home)  # as `restage rebuild` does
    assert run(con, home, "error", "") == ("Q1", "Q1")
    assert run(con, home, "fail", "Q1, Q2") == ("Q1, Q2", "Q1, Q2")
    assert len(list(home.outbox(CENTRE.name).iterdir())) == 2


def test_who_was_told_nothing_yet_sees_the_rest_and_is_sent_nothing(
    tmp_path: Path, con: duckdb.DuckDBPyConnection
) -> None:
    home = Home(tmp_path)
    received(home, "2017-04-02")
    assert run(con, home, "error", "Q1") == ("Q1", None)


def test_a_look_back_shows_what_could_be_judged(tmp_path: Path, con: duckdb.DuckDBPyConnection) -> None:
    home = Home(tmp_path)
    received(home, "2017-04-02")
    run(con, home, "pass", "Q1")
    assert run(con, Home(tmp_path, as_of="2017-04-03"), "error", "Q0") == ("Q0", "Q1")
