"""What a centre sends back: read however its spreadsheet saved it, and what cannot be used is told."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from pipelines import study
from pipelines.centres import load_all
from pipelines.deliveries import acceptances, ledger
from pipelines.deliveries.acceptances import Acceptance
from pipelines.deliveries.answers import read_replies, replies
from pipelines.deliveries.intake import intake
from pipelines.deliveries.parts import is_list
from pipelines.errors import DeliveryRejected
from pipelines.warehouse import Home

CENTRE = next(iter(load_all(study.ROOT / "centres").values()))
HEAD = ("query_id", "problem", "site_reply", "site_comment", "replied_by", "replied_on")
LINE = ("Q1", "a, b", "Corrected", "'=1+1 è", "A. Rossi", "31/03/2017")


def answered(home: Home, name: str, content: bytes) -> ledger.Delivery:
    path = home.inbox / CENTRE.name / "2017-05-01" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    (delivery,) = intake(home, [CENTRE.name])
    return delivery


def text(delimiter: str, *lines: tuple[str, ...]) -> str:
    return "".join(delimiter.join(f'"{cell}"' for cell in line) + "\r\n" for line in [HEAD, *lines])


@pytest.mark.parametrize("delimiter", [";", ",", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252"])
def test_a_csv_is_read_as_any_spreadsheet_saves_it(tmp_path: Path, delimiter: str, encoding: str) -> None:
    home = Home(tmp_path)
    (found,) = read_replies(home, CENTRE, answered(home, "queries.csv", text(delimiter, LINE).encode(encoding)))
    assert found == {
        "query_id": "Q1", "site_reply": "corrected", "site_comment": "=1+1 è", "replied_by": "A. Rossi",
        "replied_on": "2017-03-31", "source_file": "queries.csv", "source_row": "2",
    }  # fmt: skip


def test_a_workbook_is_read_and_lines_without_a_reply_are_none(tmp_path: Path) -> None:
    home, path = Home(tmp_path / "home"), tmp_path / "queries.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("queries")
        for row, line in enumerate([HEAD, LINE, ("Q2", "c", "", "", "", "")]):
            sheet.write_row(row, 0, line)
    (found,) = read_replies(home, CENTRE, answered(home, "queries.xlsx", path.read_bytes()))
    assert (found["query_id"], found["source_row"]) == ("Q1", "queries!2")


def test_a_comment_is_kept_as_the_next_list_shows_it(tmp_path: Path) -> None:
    """Or the list sent back untouched would hold another comment than the one that we have."""
    home, path = Home(tmp_path / "home"), tmp_path / "queries.xlsx"
    with xlsxwriter.Workbook(str(path)) as book:
        sheet = book.add_worksheet("queries")
        for row, line in enumerate([HEAD, ("Q1", "a", "confirmed", "one\ntwo", "A. Rossi", "")]):
            sheet.write_row(row, 0, line)
    (found,) = read_replies(home, CENTRE, answered(home, "queries.xlsx", path.read_bytes()))
    assert found["site_comment"] == "one<line end>two"


@pytest.mark.parametrize(
    "name",
    [
        "Queries.CSV", "queries (1).csv", "QUERIES(12).csv", "queries - Copia.csv", "queries - Copia (2).csv",
        "Copia di queries.csv", "Copia (2) di queries.csv", "queries copy 2.csv", "queries_1.csv", "lists/queries.csv",
    ],
)  # fmt: skip
def test_a_list_is_known_whatever_a_copy_is_called(tmp_path: Path, name: str) -> None:
    home = Home(tmp_path)
    delivery = answered(home, name, text(",", LINE).encode())
    assert delivery.state == "answer" and len(read_replies(home, CENTRE, delivery)) == 1


@pytest.mark.parametrize("name", ["queries.csv.txt", "my queries.csv", "subqueries.csv", "queries_ward.csv"])
def test_another_file_is_no_list(tmp_path: Path, name: str) -> None:
    assert answered(Home(tmp_path), name, b"a").state == "received"


@pytest.mark.parametrize("name", ["my queries.csv", "risposte.xlsx"])
def test_a_list_under_another_name_is_known_by_its_header(tmp_path: Path, name: str) -> None:
    home, folder = Home(tmp_path), tmp_path / "inbox" / CENTRE.name / "2017-05-01"
    folder.mkdir(parents=True)
    (folder / "pat.csv").write_text("id;reply\n1;2\n")
    if name.endswith(".csv"):
        (folder / name).write_text("Queries of the centre\n" + text(";", LINE))
    else:
        with xlsxwriter.Workbook(str(folder / name)) as book:
            sheet = book.add_worksheet("queries")
            for row, line in enumerate([HEAD, LINE]):
                sheet.write_row(row, 0, line)
    export, answer = intake(home, [CENTRE.name])
    assert ([*export.files], export.state, [*answer.files], answer.state) == (["pat.csv"], "received", [name], "answer")
    assert len(read_replies(home, CENTRE, answer)) == 1
    assert intake(Home(tmp_path), [CENTRE.name]) == []
    # it stays the answer, and the export the export, also when a withdrawal leaves nothing of it
    sums = {name: str(answer.files[name]["sha256"])}
    ledger.append(home, replace(answer, files={}, erased=sums, readable=False))
    (folder / "pat.csv").touch()  # looked at again
    assert intake(Home(tmp_path), [CENTRE.name]) == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff\xfe", b"my_query_id;site_reply\n"])
@pytest.mark.parametrize("name", ["visits.csv", "visits.xlsx"])
def test_an_export_is_no_list_whatever_it_holds(tmp_path: Path, name: str, content: bytes) -> None:
    assert answered(Home(tmp_path), name, content).state == "received"


def test_a_long_name_of_digits_is_told_in_no_time() -> None:
    # a pattern that tries every division of the digits would not come to an end
    assert is_list("queries_20170501093000.csv") and not is_list(f"queries_{'1' * 60}.dat")


def test_two_replies_that_differ_are_none(tmp_path: Path) -> None:
    home = Home(tmp_path)
    lines: list[Any] = [LINE, ("Q1", "", "confirmed", "", "", ""), ("Q2", "", "confirmed", "", "", "")]
    assert replies(home, CENTRE, answered(home, "queries.csv", text(",", *lines).encode())) == {"Q2": "confirmed"}


def test_a_file_that_is_no_list_is_rejected_in_plain_words(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with pytest.raises(DeliveryRejected, match="query_id"):
        read_replies(home, CENTRE, answered(home, "queries.csv", b"nothing of the kind\n"))


def test_an_answer_that_is_sent_again_says_nothing_and_a_later_export_of_the_same_files_says_so(tmp_path: Path) -> None:
    home = Home(tmp_path)
    for name, content in (("2017-05-01", LINE), ("2017-05-01_again", LINE), ("2017-06-01", ("Q2", *LINE[1:]))):
        folder = home.inbox / CENTRE.name / name
        folder.mkdir(parents=True)
        (folder / "queries.csv").write_text(text(",", content), encoding="utf-8")
    for name in ("2017-04-01", "2017-04-01_again", "2017-07-01", "undated"):
        folder = home.inbox / CENTRE.name / name
        folder.mkdir(parents=True)
        (folder / "data.csv").write_text("a\n1\n", encoding="utf-8")
    for delivery in intake(home, [CENTRE.name]):
        if delivery.state == "received":
            ledger.append(home, delivery.decided("accepted"))
    assert [d.name for d in ledger.chain(home, CENTRE.name)] == ["2017-04-01", "2017-05-01", "2017-06-01"]
    assert [d.name for d in ledger.repeats(home, CENTRE.name)] == ["2017-07-01"]


def test_decisions_are_only_added_and_leave_with_the_subject_who_withdraws(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.archive.mkdir()
    made = [
        Acceptance(f"Q{n}", CENTRE.name, f"S-00{n}", "v", "M. Bianchi", f"2017-0{n}-01T10:00", "Seen.", "r", "d")
        for n in (1, 2)
    ]  # fmt: skip
    for one in made:
        acceptances.append(home, one)
    with acceptances.trail(home).open("a", encoding="utf-8") as file:
        file.write('{"query_id": "Q3", "cent')  # a run that was cut off
    assert acceptances.read(home) == made
    assert acceptances.read(Home(tmp_path, as_of="2017-01-31")) == made[:1]
    acceptances.append(home, after := replace(made[1], query_id="Q4"))
    assert acceptances.read(home) == [*made, after], "a line that was cut off takes no other with it"
    acceptances.forget(home, "S-001")
    assert acceptances.read(home) == [*made[1:], after]
    assert "S-001" not in acceptances.trail(home).read_text(encoding="utf-8")
