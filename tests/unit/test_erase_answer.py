"""An answer loses the lines of a withdrawn subject, however its number had to be written in the list."""

import csv
from pathlib import Path

import pytest

from pipelines import centres, study
from pipelines.deliveries import denylist, ledger
from pipelines.deliveries.erase import erase_answer, freed_answer
from pipelines.deliveries.ledger import Delivery
from pipelines.deliveries.parts import is_answer
from pipelines.disclosure import escape_formula
from pipelines.queries import ASKED, REPLY
from pipelines.warehouse import Home

CENTRE = next(iter(centres.load_all(study.ROOT / "centres").values()))


@pytest.mark.parametrize(
    ("local_id", "has_withdrawn_before"),
    [("0042", False), ("=42A", False), ("+A;-1", False), ("4\u200b2", False), ("0042", True), ("=42A", True)],
)
def test_the_lines_of_a_withdrawn_subject_leave_an_answer(
    tmp_path: Path, local_id: str, has_withdrawn_before: bool
) -> None:
    home, file = Home(tmp_path / "home"), tmp_path / "reply.csv"
    with file.open("w", encoding="utf-8-sig", newline="") as target:
        writer = csv.writer(target, delimiter=CENTRE.queries_delimiter)
        writer.writerow(ASKED + REPLY)
        for query, number in (("Q1", local_id), ("Q2", "0043")):
            row = {"query_id": query, "local_id": escape_formula(number), "site_reply": "confirmed"}
            writer.writerow([row.get(name, "") for name in ASKED + REPLY])
    sha256, size = ledger.store(home, file)
    answer = Delivery(
        "a-1",
        CENTRE.name,
        "a",
        "2017-05-01",
        "2017-05-01",
        {file.name: {"sha256": sha256, "size": size, "list": 1}},
        "answer",
    )
    ledger.append(home, answer)
    if has_withdrawn_before:
        assert freed_answer(home, CENTRE, answer) is answer
        denylist.add(home, CENTRE.name, [local_id])
        now = freed_answer(home, CENTRE, answer)
        assert freed_answer(home, CENTRE, now) is now
    else:
        now = erase_answer(home, CENTRE, answer, {local_id})
    assert is_answer(now)  # told by its header when it came, and not again
    text = ledger.object_path(home, str(now.files[file.name]["sha256"])).read_text(encoding="utf-8-sig")
    assert "Q2" in text and "Q1" not in text and escape_formula(local_id) not in text
