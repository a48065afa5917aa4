"""What a moment knows of earlier deliveries: which reply is of a centre's newest answer."""

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines import study
from pipelines.centres import load_all
from pipelines.deliveries import ledger
from pipelines.deliveries.intake import intake
from pipelines.deliveries.timeline import timeline
from pipelines.orchestration import past
from pipelines.warehouse import Home

CENTRES = load_all(study.ROOT / "centres")
CENTRE = next(iter(CENTRES))


def put(home: Home, day: str, name: str, *lines: str) -> None:
    folder = home.inbox / CENTRE / day
    folder.mkdir(parents=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize(("second", "newest"), [(None, {"Q1"}), ("2017-07-01", {"Q2"})])
def test_the_newest_answer_stays_the_newest_whatever_export_comes_after_it(
    tmp_path: Path, second: str | None, newest: set[str]
) -> None:
    """An unusable reply is told although the next export is taken in by the same run; the next answer ends it."""
    home = Home(tmp_path)
    put(home, "2017-05-01", "queries.csv", "query_id,site_reply", "Q1,perhaps")
    put(home, "2017-06-01", "data.csv", "a", "1")
    if second:
        put(home, second, "queries.csv", "query_id,site_reply", "Q2,corrected")
    for delivery in intake(home, [CENTRE]):
        if delivery.state == "received":
            ledger.append(home, delivery.decided("accepted"))
    moments = timeline(home, dict.fromkeys(CENTRES, "1"))
    with closing(past.open_study(home, CENTRES)) as con:
        home.history.mkdir()
        for moment in moments[:-1]:
            shutil.copy(home.staged / "_declared" / "failed_before.parquet", past.kept(home, moment))
        past.show(con, home, moments, CENTRES)
        found = con.execute("select query_id from slice.main.staged_replies where newest_fl = 'Y'").fetchall()
    assert {query for (query,) in found} == newest


def test_another_language_of_a_centre_is_noticed(tmp_path: Path) -> None:
    """The texts of queries are kept with the rows, so that all rules have to be judged again."""
    home = Home(tmp_path)
    other = {"it": "en", "en": "it"}
    for centres, changed in (
        (CENTRES, False),
        (CENTRES, False),
        (CENTRES | {CENTRE: replace(CENTRES[CENTRE], language=other[CENTRES[CENTRE].language])}, True),
        ({CENTRE: CENTRES[CENTRE]}, True),
        (CENTRES, False),  # those that were not there before have no old texts
    ):
        with closing(past.open_study(home, centres)) as con:
            assert past.languages_changed(con) is changed
