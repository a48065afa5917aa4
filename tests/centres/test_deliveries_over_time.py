"""One centre's deliveries follow each other: what vanished stays until it is confirmed, and order does not matter."""

import csv
import io
import random
import shutil
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pipelines import study, warehouse
from pipelines.centres import load
from pipelines.deliveries import history, ledger
from pipelines.deliveries.history import QUERY_ID
from pipelines.deliveries.intake import intake
from pipelines.errors import DeliveryRejected
from pipelines.orchestration import take_in as take_in_module
from pipelines.orchestration.take_in import TECHNICAL, TakenIn, take_in
from pipelines.simulate.simulate import simulate
from pipelines.warehouse import Home

CENTRE = load(study.ROOT / "centres" / "me1")
DATA, LOG = "ME1_DATA.csv", "ME1_identification_log.csv"
REFERENCE = study.ROOT / "examples" / "reference_study"
Row = dict[str, str]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One delivery of the centre, invented, without its manifest."""
    out = tmp_path_factory.mktemp("export")
    simulate(out, REFERENCE / "cohort.csv", REFERENCE / "lesions.csv")
    (folder,) = (out / "inbox" / "me1").iterdir()
    (folder / "manifest.yaml").unlink()
    return folder


def edited(path: Path, change: Callable[[list[Row]], list[Row]]) -> None:
    """Write the rows of a CSV anew as `change` gives them."""
    reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig")))
    rows = change(list(reader))
    text = io.StringIO()
    writer = csv.DictWriter(text, reader.fieldnames or [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8-sig")


def deliver(home: Home, export: Path, name: str, change: Callable[[list[Row]], list[Row]] | None = None) -> Path:
    folder = home.inbox / "me1" / name
    shutil.copytree(export, folder)
    if change:
        edited(folder / DATA, change)
    return folder


def run(home: Home) -> TakenIn:
    """What a run does for the centre, without the tables."""
    intake(home, ["me1"])
    pending = tuple(d for d in ledger.read(home) if d.state == "received")
    return take_in(home, CENTRE, pending, "1")


def rows(home: Home, table: str, where: str = "true") -> list[dict[str, Any]]:
    path = home.staged / "me1" / f"{table}.parquet"
    with closing(warehouse.memory()) as con:
        cursor = con.execute(f"from '{path}' where {where} order by all")
        names = [c[0] for c in cursor.description or []]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def state(home: Home) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that is staged, by table."""
    with closing(warehouse.memory()) as con:
        return {
            t: con.execute(f"from '{home.staged / 'me1' / f'{t}.parquet'}' order by all").fetchall()
            for t in [*study.staged_tables(), *TECHNICAL]
            if (home.staged / "me1" / f"{t}.parquet").exists()
        }


def first(form: str) -> Callable[[Row], bool]:
    """Tells the first row of a form."""
    seen: list[Row] = []

    def is_first(row: Row) -> bool:
        if row["redcap_repeat_instrument"] != form or seen or (form == "measurements" and not row["mea_mm"]):
            return False
        seen.append(row)
        return True

    return is_first


def without(form: str) -> Callable[[list[Row]], list[Row]]:
    def change(all_rows: list[Row]) -> list[Row]:
        is_first = first(form)
        return [row for row in all_rows if not is_first(row)]

    return change


def corrected(all_rows: list[Row]) -> list[Row]:
    is_first = first("measurements")
    return [row | {"mea_mm": "99"} if is_first(row) else row for row in all_rows]


VANISHED = "rule_id = 'structure/vanished_record'"


def query_id(finding: dict[str, Any]) -> str:
    with closing(warehouse.memory()) as con:
        sql = QUERY_ID.format(centre="'me1'", record=study.sql_literal(finding["record_key"]))
        return str(con.execute(f"select {sql}").fetchall()[0][0])


def answer(home: Home, name: str, reply: str, finding: dict[str, Any]) -> None:
    folder = home.inbox / "me1" / name
    folder.mkdir(parents=True)
    (folder / "queries.csv").write_text(f"query_id,site_reply\n{query_id(finding)},{reply}\n", encoding="utf-8-sig")


def test_a_record_that_vanished_stays_and_is_asked_for_where_it_stood_last(tmp_path: Path, export: Path) -> None:
    home = Home(tmp_path)
    deliver(home, export, "2017-01-01")
    before = run(home)
    deliver(home, export, "2017-04-01", without("measurements"))
    after = run(home)
    assert after.rows == before.rows
    (finding,) = rows(home, "findings", VANISHED)
    (kept,) = rows(home, "measurements", "_since is not null")
    assert (finding["source_file"], finding["source_row"]) == (kept["source_file"], kept["source_row"])
    assert kept["delivery_id"].startswith("me1-2017-01-01")
    assert finding["delivery_id"].startswith("me1-2017-04-01")
    assert [r["change"] for r in rows(home, "changes")] == ["vanished"]
    # and it comes back
    deliver(home, export, "2017-07-01", lambda all_rows: all_rows[::-1])
    run(home)
    assert rows(home, "findings", VANISHED) == []
    assert [r["change"] for r in rows(home, "changes")] == ["returned"]


@pytest.mark.parametrize(("reply", "stays"), [("confirmed", False), ("cannot_obtain", True)])
def test_only_a_confirmed_absence_takes_the_record_away(tmp_path: Path, export: Path, reply: str, stays: bool) -> None:
    home = Home(tmp_path)
    deliver(home, export, "2017-01-01")
    deliver(home, export, "2017-04-01", without("measurements"))
    n = run(home).rows["measurements"]
    (finding,) = rows(home, "findings", VANISHED)
    answer(home, "reply", reply, finding)
    assert run(home).rows["measurements"] == (n if stays else n - 1)
    assert bool(rows(home, "findings", VANISHED)) is stays
    assert {r["change"] for r in rows(home, "changes")} == ({"vanished"} if stays else {"removed", "vanished"})
    # the next export lacks it too, and nobody is asked again
    deliver(home, export, "2030-01-01", lambda all_rows: corrected(without("measurements")(all_rows)))
    run(home)
    assert bool(rows(home, "findings", VANISHED)) is stays


def test_a_reply_in_the_folder_of_an_export_does_what_it_does_in_one_of_its_own(tmp_path: Path, export: Path) -> None:
    ends = []
    for where in ("2017-07-01", "2017-07-01_reply"):
        home = Home(tmp_path / where)
        deliver(home, export, "2017-01-01")
        deliver(home, export, "2017-04-01", without("measurements"))
        run(home)
        (finding,) = rows(home, "findings", VANISHED)
        answer(home, where, "confirmed", finding)
        edited(shutil.copytree(export, home.inbox / "me1" / "2017-07-01", dirs_exist_ok=True) / DATA, again)
        n = run(home).rows["measurements"]
        assert rows(home, "findings", VANISHED) == []
        ends.append((n, rows(home, "measurements"), [(d.name[:10], d.state) for d in ledger.read(home)]))
    assert ends[0] == ends[1]


def again(all_rows: list[Row]) -> list[Row]:
    return corrected(without("measurements")(all_rows))


def test_a_correction_is_seen_field_by_field(tmp_path: Path, export: Path) -> None:
    home = Home(tmp_path)
    deliver(home, export, "2017-01-01")
    run(home)
    deliver(home, export, "2017-04-01", corrected)
    run(home)
    (change,) = rows(home, "changes")
    assert (change["change"], change["field"], change["value_after"]) == ("changed", "diameter_mm", "99.000")
    assert change["value_before"] not in (None, "99.000")
    assert change["delivery_id"].startswith("me1-2017-04-01")


def test_a_manifest_takes_records_away(tmp_path: Path, export: Path) -> None:
    home = Home(tmp_path)
    deliver(home, export, "2017-01-01")
    n = run(home).rows["measurements"]
    all_rows = list(csv.DictReader(io.StringIO((export / DATA).read_text(encoding="utf-8-sig"))))
    gone = next(filter(first("measurements"), all_rows))
    folder = deliver(home, export, "2017-04-01", without("measurements"))
    key = f"local_id: '{gone['record_id']}', lesion_id: {gone['mea_lesion']}, visitnum: {gone['mea_visit']}"
    record = f"{{table: measurements, {key}}}"
    (folder / "manifest.yaml").write_text(f"removed: [{record}]\n")
    assert run(home).rows["measurements"] == n - 1
    assert rows(home, "findings", VANISHED) == []
    assert [r["change"] for r in rows(home, "changes")] == ["removed"]


def test_a_manifest_that_names_no_staged_column_is_refused(tmp_path: Path, export: Path) -> None:
    home = Home(tmp_path)
    deliver(home, export, "2017-01-01")
    run(home)
    folder = deliver(home, export, "2017-04-01", corrected)
    (folder / "manifest.yaml").write_text("removed: [{table: measurements, local_id: 1, lesion: T1}]\n")
    taken = run(home)
    assert [type(e) for e in taken.rejected] == [DeliveryRejected]
    assert "columns of a staged table" in str(taken.rejected[0])
    assert taken.delivery and taken.delivery.startswith("me1-2017-01-01")


def test_a_subject_that_is_gone_altogether_is_one_question(tmp_path: Path, export: Path) -> None:
    home = Home(tmp_path)
    deliver(home, export, "2017-01-01")
    before = run(home)
    folder = deliver(home, export, "2017-04-01")
    gone = rows(home, "links")[0]["local_id"]
    for file in (DATA, LOG):
        edited(folder / file, lambda all_rows: [r for r in all_rows if r["record_id"] != gone])
    after = run(home)
    assert after.rows == before.rows
    assert [f["table_name"] for f in rows(home, "findings", VANISHED)] == ["links"]


def test_what_repeats_a_delivery_that_is_rejected_is_rejected_with_it(tmp_path: Path, export: Path) -> None:
    """Whether both wait for one run or come one after the other."""
    at_once, after = Home(tmp_path / "once"), Home(tmp_path / "after")
    for name in ("2017-02-01", "2017-03-01"):
        for home in (at_once, after):
            (deliver(home, export, name) / DATA).write_bytes(b"")
        run(after)
    assert len(run(at_once).rejected) == 2
    for home in (at_once, after):
        assert [d.state for d in ledger.read(home)] == ["rejected", "rejected"]
        assert ledger.in_force(home, "me1") is None


def changes_of(seed: int) -> list[tuple[str, Callable[[list[Row]], list[Row]] | None]]:
    """Extract dates and what was done to each export, at random."""
    draw = random.Random(seed)
    pool = [None, corrected, without("measurements"), without("lesions"), without("toxicity"), lambda r: r[::-1]]
    return [(f"2017-0{month}-01", draw.choice(pool)) for month in range(1, 6)]


@pytest.mark.parametrize(
    "seed",
    [2, pytest.param(1, marks=pytest.mark.long), *(pytest.param(n, marks=pytest.mark.slow) for n in range(3, 20))],
)
def test_deliveries_in_any_order_and_a_rebuild_end_in_equal_rows(tmp_path: Path, export: Path, seed: int) -> None:
    made = changes_of(seed)
    at_once, one_by_one = Home(tmp_path / "at_once"), Home(tmp_path / "one_by_one")
    for name, change in made:
        deliver(at_once, export, name, change)
    run(at_once)
    for name, change in random.Random(-seed).sample(made, len(made)):
        deliver(one_by_one, export, name, change)
        run(one_by_one)
    expected = state(at_once)
    assert state(one_by_one) == expected
    # from the archive alone
    again = Home(tmp_path / "again")
    shutil.copytree(one_by_one.archive, again.archive)
    run(again)
    assert state(again) == expected


def test_an_answer_that_cannot_be_read_is_rejected_and_changes_nothing(tmp_path: Path, export: Path) -> None:
    home = Home(tmp_path)
    deliver(home, export, "2017-01-01")
    run(home)
    before = state(home)
    folder = home.inbox / "me1" / "reply"
    folder.mkdir()
    (folder / "queries.csv").write_bytes(b"nothing of the kind\n")
    taken = run(home)
    assert "query_id" in str(taken.rejected[0])
    assert state(home) == before
    assert [d.state for d in ledger.read(home) if d.name == "reply"] == ["rejected"]


def test_what_could_not_be_read_in_a_vanished_record_is_asked_until_it_is_confirmed(
    tmp_path: Path, export: Path
) -> None:
    home = Home(tmp_path)

    def spoilt(all_rows: list[Row]) -> list[Row]:
        is_first = first("measurements")
        return [row | {"mea_mm": "about 20"} if is_first(row) else row for row in all_rows]

    deliver(home, export, "2017-01-01", spoilt)
    run(home)
    unreadable = "rule_id = 'structure/unreadable_number'"
    asked = rows(home, "findings", unreadable)
    assert [f["value_received"] for f in asked] == ["about 20"]
    deliver(home, export, "2017-04-01", without("measurements"))
    run(home)
    assert rows(home, "findings", unreadable) == asked
    (finding,) = rows(home, "findings", VANISHED)
    answer(home, "reply", "confirmed", finding)
    run(home)
    assert rows(home, "findings", f"{unreadable} or {VANISHED}") == []


def test_a_record_that_is_brought_over_keeps_the_bounds_of_its_dates(
    tmp_path: Path, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path / "home")
    folder = shutil.copytree(study.ROOT / "centres" / "me1", tmp_path / "me1")
    text = (folder / "centre.yaml").read_text().replace("{from: ae_end}", "{from: ae_end, partial: true}")
    (folder / "centre.yaml").write_text(text)
    monkeypatch.setattr(f"{__name__}.CENTRE", load(folder))

    def of_a_month(all_rows: list[Row]) -> list[Row]:
        is_first = first("toxicity")
        return [row | {"ae_end": "03/2014"} if is_first(row) else row for row in all_rows]

    deliver(home, export, "2017-01-01", of_a_month)
    run(home)
    known = rows(home, "partial_dates")
    assert [(d["value_received"], str(d["lower_dt"]), str(d["upper_dt"])) for d in known] == [
        ("03/2014", "2014-03-01", "2014-03-31")
    ]
    deliver(home, export, "2017-04-01", without("toxicity"))
    run(home)
    assert rows(home, "partial_dates") == known
    (finding,) = rows(home, "findings", VANISHED)
    answer(home, "reply", "confirmed", finding)
    run(home)
    assert rows(home, "partial_dates") == []


UNREAD = "staged_field = 'trdt'"


def dated(*days: str) -> Callable[[list[Row]], list[Row]]:
    """The first measurements of one lesion get these dates; '' leaves what was written."""

    def change(all_rows: list[Row]) -> list[Row]:
        left, of = list(days), next(r for r in all_rows if r["redcap_repeat_instrument"] == "measurements")
        key = ("record_id", "redcap_repeat_instrument", "mea_lesion")
        return [
            row | {"mea_date": day} if left and all(row[k] == of[k] for k in key) and (day := left.pop(0)) else row
            for row in all_rows
        ]

    return change


def asked(home: Home) -> dict[str, str]:
    return {r["value_received"]: r["record_key"] for r in rows(home, "findings", UNREAD)}


def test_records_that_differ_in_an_unreadable_day_alone_are_two_questions(tmp_path: Path, export: Path) -> None:
    """They once had one key without that day, and the reply to one was the reply to the other."""
    home = Home(tmp_path)
    deliver(home, export, "2017-01-01", dated("Easter", "Pentecost"))
    run(home)
    first_asked = asked(home)
    assert len(set(first_asked.values())) == 2
    assert not any(day in key for key in first_asked.values() for day in first_asked)
    # rows in another order, and then one of them corrected: the other is still what it was
    deliver(home, export, "2017-04-01", lambda r: dated("Easter", "Pentecost")(r)[::-1])
    run(home)
    assert asked(home) == first_asked
    deliver(home, export, "2017-07-01", dated("", "Pentecost"))
    run(home)
    assert asked(home) == {"Pentecost": first_asked["Pentecost"]}


def test_a_record_with_an_unreadable_key_is_not_asked_for_as_gone_too(tmp_path: Path, export: Path) -> None:
    """One question. Once the key can be read and is another record's, the one before is gone."""
    home = Home(tmp_path)
    deliver(home, export, "2017-01-01")
    before = run(home).rows["measurements"]
    deliver(home, export, "2017-04-01", dated("Easter"))
    run(home)
    assert (len(asked(home)), rows(home, "findings", VANISHED)) == (1, [])
    assert len(rows(home, "measurements", "trdt is not null")) == before, "what was sent stays"

    def another(all_rows: list[Row]) -> list[Row]:
        return [r | {"mea_mm": "99"} if r["mea_date"] == "2019-12-24" else r for r in dated("2019-12-24")(all_rows)]

    deliver(home, export, "2017-07-01", another)
    run(home)
    assert (asked(home), len(rows(home, "findings", VANISHED))) == ({}, 1)


def test_a_question_that_stood_alone_keeps_its_name(tmp_path: Path, export: Path) -> None:
    """It is not named by the value: neither another unreadable one nor a second record like it changes that."""
    home = Home(tmp_path)
    deliver(home, export, "2017-01-01", dated("Easter"))
    run(home)
    (alone,) = asked(home).values()
    deliver(home, export, "2017-04-01", dated("Whitsun"))
    run(home)
    assert asked(home) == {"Whitsun": alone}
    deliver(home, export, "2017-07-01", dated("Whitsun", "Pentecost"))
    run(home)
    both = asked(home)
    assert both["Whitsun"] == alone != both["Pentecost"]
    deliver(home, export, "2017-10-01", dated("", "Pentecost"))
    run(home)
    assert asked(home) == {"Pentecost": both["Pentecost"]}


@pytest.mark.parametrize("limit", ["2MB", "4MB", "8MB"])
def test_too_little_memory_changes_nothing(
    tmp_path: Path, export: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    """What a large delivery is held against may not fit into the share of memory that a centre has."""
    expected = []
    for name in ("as_ever", "scarce"):
        home = Home(tmp_path / name)
        deliver(home, export, "2026-01-10")
        run(home)
        deliver(home, export, "2026-02-10", without("lesions"))
        if name == "scarce":
            monkeypatch.setattr(take_in_module, "fold", partial(history.fold, limit=limit))
        run(home)
        expected.append(state(home))
    assert rows(home, "changes") and expected[0] == expected[1]
