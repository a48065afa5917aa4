"""The outbox: one folder a delivery, kept as it was, with another edition beside it where the queries changed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli import rebuild
from pipelines.cli.main import app
from pipelines.deliveries import ledger
from pipelines.deliveries.ledger import Delivery
from pipelines.outbox.keep import FILES, keep, newest
from pipelines.warehouse import Home, clear_reports

CENTRE = "one"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def received(home: Home, day: str, state: str = "accepted", extract: str = "2017-04-02") -> None:
    ledger.append(
        home, Delivery(f"{CENTRE}-{day}-00000000", CENTRE, day, f"{day}T08:00:00.000+00:00", extract, {}, state)
    )


def write(home: Home, queries: str, report: str = "report", centre: str = CENTRE) -> None:
    folder = home.reports / "centres" / centre
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in zip(FILES, (report, queries, queries), strict=True):
        (folder / name).write_text(text)


def editions(home: Home) -> dict[str, str]:
    return {path.name: (path / "queries.csv").read_text() for path in sorted(home.outbox(CENTRE).glob("*"))}


def test_a_centre_that_sent_nothing_has_no_outbox(home: Home) -> None:
    write(home, "a")
    assert keep(home, CENTRE) is None and not home.outbox(CENTRE).exists()


def test_each_delivery_has_its_own_folder_that_stays(home: Home) -> None:
    received(home, "2017-04-03")
    write(home, "a")
    assert keep(home, CENTRE) == keep(home, CENTRE)
    received(home, "2017-07-03", extract="2017-01-01")  # late, and about older data: it is what the centre did last
    write(home, "b")
    keep(home, CENTRE)
    assert editions(home) == {"one-2017-04-03-00000000": "a", "one-2017-07-03-00000000": "b"}
    found = newest(home, CENTRE)
    assert found and (found[0].name, found[1].name) == ("2017-07-03", "one-2017-07-03-00000000")


def test_other_queries_are_another_edition_and_other_sums_are_not(home: Home) -> None:
    received(home, "2017-04-03")
    for queries, report in (("a", "1"), ("a", "2"), ("b", "3"), ("a", "4"), *((f"c{n}", "5") for n in range(9))):
        write(home, queries, report)
        keep(home, CENTRE)
    assert len(editions(home)) == 12
    first = home.outbox(CENTRE) / "one-2017-04-03-00000000"
    assert (first / "report.html").read_text() == "1", "the first edition stays as it was"
    found = newest(home, CENTRE)
    assert found and found[1].name == "one-2017-04-03-00000000.12"


def test_a_rejected_delivery_is_told_and_so_is_its_acceptance(home: Home) -> None:
    received(home, "2017-04-03", "rejected")
    write(home, "a")
    keep(home, CENTRE)
    received(home, "2017-04-03", "accepted")
    keep(home, CENTRE)
    assert sorted(editions(home)) == ["one-2017-04-03-00000000", "one-2017-04-03-00000000_rejected"]


@pytest.mark.parametrize("state", ["duplicate", "received"])
def test_what_changes_nothing_makes_no_folder(home: Home, state: str) -> None:
    received(home, "2017-04-03")
    write(home, "a")
    keep(home, CENTRE)
    received(home, "2017-05-03", state)
    keep(home, CENTRE)
    assert len(editions(home)) == 1


def test_a_look_back_is_not_for_centres(home: Home) -> None:
    received(home, "2017-04-03")
    write(home, "a")
    assert keep(Home(home.root, "2018-01-01"), CENTRE) is None and not home.outbox(CENTRE).exists()


def test_what_a_cut_off_run_left_is_no_edition(home: Home) -> None:
    received(home, "2017-04-03")
    write(home, "a")
    (home.outbox(CENTRE) / ".part").mkdir(parents=True)
    (home.outbox(CENTRE) / ".part" / "queries.csv").write_text("half")
    keep(home, CENTRE)
    assert editions(home) == {"one-2017-04-03-00000000": "a"}


def test_outboxes_outlive_a_rebuild_and_one_is_forgotten_with_a_withdrawal(home: Home) -> None:
    for name in ("one", "two"):
        write(home, "a", centre=name)
        (home.outbox(name) / "d").mkdir(parents=True)
        (home.outbox(name) / "d" / "queries.csv").write_text("a")
    (home.reports / "study" / "figures").mkdir(parents=True)
    (home.reports / "index.html").write_text("i")

    def left() -> set[str]:
        return {path.relative_to(home.reports).as_posix() for path in home.reports.rglob("*") if path.is_file()}

    clear_reports(home)
    assert left() == {f"centres/{name}/outbox/d/queries.csv" for name in ("one", "two")}
    clear_reports(home, forget=["one"])
    assert left() == {"centres/two/outbox/d/queries.csv"}
    clear_reports(Home(home.root / "nothing here"))


def test_a_rebuild_makes_all_anew_but_the_outboxes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    received(home, "2017-04-03")
    write(home, "a")
    keep(home, CENTRE)
    monkeypatch.setattr(rebuild, "bring_up_to_date", lambda place, **_: 0)
    assert CliRunner().invoke(app, ["rebuild", "--home", str(home.root)]).exit_code == 0
    assert editions(home) == {"one-2017-04-03-00000000": "a"}
    assert not (home.reports / "centres" / CENTRE / "report.html").exists()
