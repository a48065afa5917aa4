"""Six deliveries and two answers of one centre: defects, corrections, a wrong one, a confirmed value that is accepted
and changed later, one that cannot be found, a vanished row, a fault that comes back. The tables say what must be."""

import csv
import io
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from pipelines import study
from pipelines.accept import accept
from pipelines.deliveries import acceptances
from pipelines.deliveries.intake import intake
from pipelines.deliveries.timeline import timeline
from pipelines.errors import UsageError
from pipelines.simulate.simulate import simulate
from pipelines.warehouse import Home
from tests.acceptance import lives

pytestmark = pytest.mark.long

REFERENCE = study.ROOT / "examples" / "reference_study"
CENTRE, DATA = "me1", "ME1_DATA.csv"
DAYS = ("2017-04-02", "2017-07-01", "2017-10-01", "2018-01-01", "2018-04-01", "2018-07-01")
# patient, form, which of its rows, column, and its value in each delivery; `right`: as the simulator wrote it
FAULTS = """
fault                | patient | form     | row | column    | 2017-04-02 | 2017-07-01 | 2017-10-01 | 2018-01-01 | 2018-04-01 | 2018-07-01
grade out of range   | 1       | toxicity | 3   | ae_grade  | 9          | right      | right      | right      | 9          | 9
impossible age       | 2       |          |     | age       | 150        | 130        | right      | right      | right      | right
age and birth year   | 3       |          |     | age       | 80         | 80         | 80         | 82         | 82         | 82
onset not a date     | 5       | toxicity | 1   | ae_start  | Easter     | Easter     | right      | right      | right      | right
grade not given      | 2       | toxicity | 2   | ae_grade  |            |            |            |            |            |
end before onset     | 5       | toxicity | 2   | ae_end    | 2014-01-01 | right      | right      | right      | right      | right
laboratory row gone  | 1       | labs     | 3   | (the row) | right      | right      | gone       | gone       | gone       | gone
"""  # noqa: E501
RULES = {
    "grade out of range": ("ctcae/grade", "RCC-ME1-001-M"),
    "impossible age": ("plausibility/age", "RCC-ME1-002-K"),
    "age and birth year": ("linkage/age_and_birth_year", "RCC-ME1-003-I"),
    "onset not a date": ("structure/unreadable_date", "RCC-ME1-005-E"),
    "grade not given": ("ctcae/grade", "RCC-ME1-002-K"),
    "end before onset": ("structure/adverse_event_dates", "RCC-ME1-005-E"),
    "laboratory row gone": ("structure/vanished_record", "RCC-ME1-001-M"),
}
ANSWERS = {
    "2017-05-01": {
        "impossible age": "corrected", "age and birth year": "confirmed", "onset not a date": "corrected",
        "grade not given": "cannot_obtain", "end before onset": "confirmed",
    },
    "2018-02-01": {"laboratory row gone": "confirmed"},
}  # fmt: skip
# what each query is after each delivery and answer; the age and the birth year were accepted after 2017-07-01
STATES = """
query               | 2017-04-02 | 2017-05-01   | 2017-07-01   | 2017-10-01   | 2018-01-01   | 2018-02-01 | 2018-04-01   | 2018-07-01
grade out of range  | new        |              | resolved     |              |              |            | reopened     | reopened
impossible age      | new        | answered     | open         | resolved     |              |            |              |
age and birth year  | new        | answered     | accepted     | accepted     | reopened     |            | reopened     | reopened
onset not a date    | new        | answered     | open         | resolved     |              |            |              |
grade not given     | new        | unobtainable | unobtainable | unobtainable | unobtainable |            | unobtainable | unobtainable
end before onset    | new        | answered     | resolved     |              |              |            |              |
laboratory row gone |            |              |              | new          | open         | resolved   |              |
"""  # noqa: E501
CONFLICTS = """
query              | 2017-07-01             | 2018-01-01            | 2018-04-01            | 2018-07-01
impossible age     | corrected_but_fails    |                       |                       |
age and birth year |                        | confirmed_but_changed | confirmed_but_changed | confirmed_but_changed
onset not a date   | correction_not_arrived |                       |                       |
end before onset   | confirmed_but_changed  |                       |                       |
"""
LAST = """
query               | state        | first_dt   | last_dt    | due_dt     | age_days | n_deliveries
grade out of range  | reopened     | 2017-04-02 | 2018-07-01 | 2018-05-01 | 455      | 3
impossible age      | resolved     | 2017-04-02 | 2017-07-01 | -          | 182      | 2
age and birth year  | reopened     | 2017-04-02 | 2018-07-01 | 2018-01-31 | 455      | 6
onset not a date    | resolved     | 2017-04-02 | 2017-07-01 | -          | 182      | 2
grade not given     | unobtainable | 2017-04-02 | 2018-07-01 | -          | 455      | 6
end before onset    | resolved     | 2017-04-02 | 2017-04-02 | -          | 90       | 1
laboratory row gone | resolved     | 2017-10-01 | 2018-01-01 | -          | 123      | 2
"""


@pytest.fixture(scope="module")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The seven centres' first deliveries, all of one day."""
    out = tmp_path_factory.mktemp("export")
    simulate(out, REFERENCE / "cohort.csv", REFERENCE / "lesions.csv")
    (first,) = (out / "inbox" / CENTRE).iterdir()
    first.rename(out / CENTRE)
    (out / CENTRE / "manifest.yaml").unlink()
    return out


def deliver(home: Home, inbox: Path, day: str) -> None:
    """Put one delivery of the story into the inbox; the other centres' come with the first."""
    if not home.inbox.exists():
        shutil.copytree(inbox / "inbox", home.inbox)
    folder = home.inbox / CENTRE / day
    shutil.copytree(inbox / CENTRE, folder)
    text = io.StringIO((folder / DATA).read_text(encoding="utf-8-sig"))
    reader = csv.DictReader(text)
    rows, (head, *faults) = list(reader), lives.written(FAULTS)
    for fault in faults:
        told = dict(zip(head, [*fault, *[""] * (len(head) - len(fault))], strict=True))
        form = [r for r in rows if r["record_id"] == told["patient"] and r["redcap_repeat_instrument"] == told["form"]]
        row, value = form[int(told["row"] or 1) - 1], told[day]
        if value == "gone":
            rows.remove(row)
        elif value != "right":
            row[told["column"]] = value
    with (folder / DATA).open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, reader.fieldnames or [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def ids(home: Home) -> dict[str, str]:
    """The query of each fault that was asked so far."""
    found = {(q["rule_id"], q["usubjid"]): q["query_id"] for q in lives.rows(home, "from validated.queries")}
    return {fault: found[about] for fault, about in RULES.items() if about in found}


def reply(home: Home, day: str) -> None:
    known = ids(home)
    lines = [(known[fault], word, f"about {fault}", "A. Rossi", day) for fault, word in ANSWERS[day].items()]
    lives.answer(home, CENTRE, day, lines)


def tell(home: Home, inbox: Path, seen: Callable[[str], None] = lambda day: None) -> None:
    """The whole story, a run after each delivery, answer and decision."""
    for day in sorted([*DAYS, *ANSWERS]):
        if day in ANSWERS:
            reply(home, day)
        else:
            deliver(home, inbox, day)
        lives.run(home, None if day == DAYS[0] else [CENTRE])
        if day == "2017-07-01":
            accept(home, ids(home)["age and birth year"], "M. Bianchi", "Birth year is wrong in the log; source seen.")
            lives.run(home, [CENTRE])
        seen(day)


@pytest.fixture(scope="module")
def told(inbox: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("story"))
    tell(home, inbox)
    return home


def by_day(home: Home, column: str) -> dict[str, dict[str, str]]:
    """Fault -> day -> what `query_history` says."""
    names = {query: fault for fault, query in ids(home).items()}
    found: dict[str, dict[str, str]] = {fault: {} for fault in RULES}
    for row in lives.rows(home, "from validated.query_history order by query_id, epoch"):
        if row["query_id"] in names and row[column]:
            found[names[row["query_id"]]][str(row["delivery_dt"])] = row[column]
    return found


def as_told(table: str) -> dict[str, dict[str, str]]:
    head, *lines = lives.written(table)
    return {line[0]: {day: cell for day, cell in zip(head[1:], line[1:], strict=False) if cell} for line in lines}


def test_each_query_has_its_state_after_each_delivery(told: Home) -> None:
    assert by_day(told, "state") == as_told(STATES)


def test_replies_that_the_next_delivery_does_not_bear_out_are_seen(told: Home) -> None:
    assert {f: days for f, days in by_day(told, "conflict").items() if days} == as_told(CONFLICTS)


def test_age_and_due_day_are_told_by_deliveries(told: Home) -> None:
    head, *expected = lives.written(LAST)
    names = {query: fault for fault, query in ids(told).items()}
    found = [q | {"query": names.get(q["query_id"])} for q in lives.rows(told, "from validated.queries")]
    found = [q for q in found if q["query"]]
    assert sorted(lives.text_table(found, head)) == sorted(expected)


def test_what_is_settled_is_no_finding_any_more(told: Home) -> None:
    settled = {
        q["query_id"] for q in lives.rows(told, "from validated.queries where state in ('resolved', 'cancelled')")
    }
    found = {f["query_id"]: f for f in lives.rows(told, "from validated.findings")}
    assert settled and not settled & found.keys()
    assert found[ids(told)["grade not given"]]["state"] == "unobtainable"


def test_every_delivery_twice_changes_nothing(told: Home, inbox: Path, tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    shutil.copytree(told.root, home.root, symlinks=True)
    before, moments = lives.content(home), timeline(home, lives.VERSIONS)
    for folder in sorted((home.inbox / CENTRE).iterdir()):
        shutil.copytree(folder, folder.with_name(f"{folder.name}_again"))
        intake(home, lives.CENTRES)
        assert timeline(home, lives.VERSIONS) == moments, folder.name
    lives.run(home)
    assert lives.content(home) == before


def test_the_archive_alone_tells_the_same(told: Home, tmp_path: Path) -> None:
    """Tables by content, and the changes after each delivery that are kept; then some subjects done again."""
    home = Home(tmp_path / "home")
    shutil.copytree(told.archive, home.archive)
    lives.run(home)
    assert lives.content(home) == lives.content(told)
    assert {p.name: p.read_bytes() for p in home.history.iterdir()} == {
        p.name: p.read_bytes() for p in told.history.iterdir()
    }
    lives.run(home, ["rt1", CENTRE])
    assert lives.content(home) == lives.content(told)


@pytest.mark.slow
def test_a_delivery_that_comes_late_takes_its_place(told: Home, inbox: Path, tmp_path: Path) -> None:
    """The order is that of the extract dates: what was received first and last makes no difference."""
    home = Home(tmp_path / "home")
    deliver(home, inbox, DAYS[0])
    deliver(home, inbox, DAYS[2])
    lives.run(home)
    for day in ("2017-05-01", *DAYS[3:], "2018-02-01", DAYS[1]):
        if day in ANSWERS:
            shutil.copytree(told.inbox / CENTRE / day, home.inbox / CENTRE / day)
        else:
            deliver(home, inbox, day)
        lives.run(home, [CENTRE])
    shutil.copy(acceptances.trail(told), acceptances.trail(home))
    lives.run(home, [CENTRE])
    assert lives.content(home) == lives.content(told)


def test_only_a_confirmed_value_that_lifts_nothing_can_be_accepted(told: Home) -> None:
    known = ids(told)
    for query, why in {
        "Qnone": "no query has this number",
        known["grade out of range"]: "it is reopened",
        known["impossible age"]: "it is resolved",
        known["grade not given"]: "cannot_obtain",
    }.items():
        with pytest.raises(UsageError, match=why):
            accept(told, query, "M. Bianchi", "Because.")
    with pytest.raises(UsageError, match="in words"):
        accept(told, known["grade out of range"], "M. Bianchi", " ")
    (decided,) = acceptances.read(told)
    assert (decided.accepted_by, decided.query_id) == ("M. Bianchi", known["age and birth year"])


def test_as_of_a_day_before_the_decision_it_is_not_known(told: Home, tmp_path: Path) -> None:
    home = Home(tmp_path / "home", as_of=str(date(2001, 1, 1)))
    shutil.copytree(told.archive, home.archive)
    assert acceptances.read(home) == []
