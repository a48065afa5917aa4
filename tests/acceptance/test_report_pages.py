"""What people open: the study's report, each centre's, and what must not stand in them."""

import csv
import re
from contextlib import closing
from pathlib import Path

import pytest

from pipelines import study
from pipelines.warehouse import Home, open_read

CENTRES = sorted(p.parent.name for p in (study.ROOT / "centres").glob("[!_]*/centre.yaml"))


def known_to(demo_home: Path, centre: str) -> tuple[set[str], set[str]]:
    """Study codes that a centre knows, and those that it does not."""
    with closing(open_read(Home(demo_home))) as con:
        rows = con.execute("select distinct usubjid, centre from harmonised.links").fetchall()
    own = {usubjid for usubjid, c in rows if c == centre}
    return own, {usubjid for usubjid, _ in rows} - own


@pytest.mark.parametrize("centre", CENTRES)
def test_a_centre_reads_of_no_subject_that_is_not_its_own(demo_home: Path, centre: str) -> None:
    own, others = known_to(demo_home, centre)
    folder = demo_home / "reports" / "centres" / centre
    texts = [(folder / name).read_text(encoding="utf-8") for name in ("report.html", "queries.csv")]
    assert own and others
    assert [code for code in others for text in texts if code in text] == []


def test_a_centre_is_asked_in_its_own_words(demo_home: Path) -> None:
    """me2 names its patients PZ-…, writes Italian and opens CSV files with semicolons."""
    folder = demo_home / "reports" / "centres" / "me2"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert '<html lang="it">' in page and "Che cosa abbiamo ricevuto" in page and "PZ-004" in page
    with (folder / "queries.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    assert {row["local_id"] for row in rows} == {"PZ-004", "PZ-005"}
    assert all(row["site_reply"] == "" and row["problem"] and row["action"] for row in rows)
    asked = {(row["form"], row["field"]) for row in rows}
    assert asked == {("Eleggibilità", "progressione di una lesione cerebrale")}
    assert "data manager dell&#39;unità" in page


def test_every_link_of_the_reports_leads_somewhere(demo_home: Path) -> None:
    reports = demo_home / "reports"
    for page in reports.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        for target in set(re.findall(r'href="([^"]+)"', text)):
            file, _, anchor = target.partition("#")
            other = (page.parent / file).resolve() if file else page
            assert other.is_file(), f"{page.name}: {target}"
            assert not anchor or f'id="{anchor}"' in other.read_text(encoding="utf-8"), f"{page.name}: {target}"


def test_reports_need_no_network(demo_home: Path) -> None:
    for page in (demo_home / "reports").rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r'(src|href)="(https?:)?//', text), page.name


def test_a_count_leads_to_the_rows_of_the_hospitals_own_file(demo_home: Path) -> None:
    """The two patients with papillary histology, as their centre wrote them."""
    page = (demo_home / "reports" / "study" / "sources.html").read_text(encoding="utf-8")
    section = page[page.index('id="histology.papillary"') :].split("<h2", 1)[0]
    assert section.count("<tr>") == 3  # the head and two patients
    assert "papill" in section.lower() or "histology" in section
