"""Reports: what a centre gets names nobody else's patient, every page stands alone, and every link leads somewhere."""

import re
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import closing
from html import unescape
from pathlib import Path

import duckdb
import pytest

from pipelines import centres, models, study, warehouse
from pipelines.figures.words import printed
from pipelines.query_words import called, forms
from pipelines.reports.centre_report import _others, words, write_centre
from pipelines.reports.index import _centres, write_index
from pipelines.reports.pages import TEMPLATES, reading
from pipelines.reports.study_report import write_study
from pipelines.status import patience
from pipelines.warehouse import Home

CENTRES = centres.load_all(study.ROOT / "centres")
# one query about every subject of every centre, with a text that would run in a page and one in a spreadsheet
FINDINGS = """
    insert into store.validated.findings by name
    select
        'Q' || md5(centre || usubjid) as query_id, centre, usubjid, usubjid || '|' || centre as record_key,
        'harmonised.subjects' as table_name, 'sex' as field, '=1+1' as value_received, 'linkage/sex' as rule_id,
        'query' as severity, '<script>alert(1)</script>' as local_message, 'Look.' as local_suggestion,
        'new' as state
    from store.harmonised.links
"""
Study = tuple[duckdb.DuckDBPyConnection, Home]


@pytest.fixture
def copied(demo_home: Path, tmp_path: Path) -> Iterator[Study]:
    """A finished study that a test may change."""
    shutil.copytree(demo_home, tmp_path / "home", ignore=shutil.ignore_patterns("dagster", "gx", "inbox", "objects"))
    home = Home(tmp_path / "home")
    with closing(warehouse.open_write(home)) as con:
        models.prepare(con, home.staged)
        yield con, home


def text_of(path: Path) -> str:
    """All that a reader of the file can find, the texts of a workbook included."""
    if path.suffix != ".xlsx":
        return path.read_text(encoding="utf-8-sig")
    with zipfile.ZipFile(path) as book:
        return "\n".join(book.read(name).decode("utf-8") for name in book.namelist() if name.endswith(".xml"))


def named(identifier: str, text: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(identifier)}(?![\w-])", text) is not None


def open_queries(con: duckdb.DuckDBPyConnection, name: str) -> tuple[int, int]:
    """As the table of a centre beside the others has them, and as the index."""
    with reading(con):
        own, _ = _others(con, name, words("en"))["others"]
        (row,) = [row for row in _centres(con, 50) if row["centre"] == name]
    return own[2], row["n_queries"]


def test_an_open_query_waits_for_somebody_in_every_count(copied: Study) -> None:
    """As the key figure has it: what was accepted or cannot be obtained is settled."""
    con, _ = copied
    name = next(iter(CENTRES))
    before, _ = open_queries(con, name)
    for at, state in enumerate(("new", "open", "answered", "reopened", "accepted", "unobtainable")):
        con.execute(f"""
            insert into store.validated.findings by name
            select 'Q{at}' as query_id, '{name}' as centre, 'query' as severity, '{state}' as state
        """)
    assert open_queries(con, name) == (before + 4, before + 4)


def test_a_centre_reads_of_its_own_subjects_only(copied: Study) -> None:
    """Every subject has a query: each centre finds all of its own local ids and no identifier of anybody else."""
    con, home = copied
    con.execute(FINDINGS)
    rows = con.execute("select centre, usubjid, local_id from slice.main.staged_links").fetchall()
    for name, centre in CENTRES.items():
        written = {path: text_of(path) for path in write_centre(con, home, centre)}
        assert {path.name for path in written} == {"report.html", "queries.xlsx", "queries.csv"}
        own = {identifier for c, *both in rows if c == name for identifier in both}
        others = {identifier for _, *both in rows for identifier in both} - own
        # a running number of one digit or two is in every text
        others = {identifier for identifier in others if len(identifier) > 3}
        assert len(others) > 40
        for path, text in written.items():
            assert [i for c, _, i in rows if c == name and not named(i, text)] == [], path
            assert [i for i in others if named(i, text)] == [], path


def test_what_runs_is_made_harmless(copied: Study) -> None:
    con, home = copied
    con.execute(FINDINGS)
    page, _, table = (text_of(path) for path in write_centre(con, home, next(iter(CENTRES.values()))))
    assert "&lt;script&gt;" in page and "<script" not in page
    assert "'=1+1" in table and not re.search(r'(^|[,;"])=1', table)


@pytest.mark.parametrize(("n_others", "shown"), [(4, "–"), (5, "5"), (0, "0")])
def test_small_counts_of_the_others_are_hidden(copied: Study, n_others: int, shown: str) -> None:
    con, home = copied
    mine, other = list(CENTRES.values())[:2]
    con.execute(f"delete from store.validated.findings; {FINDINGS} where centre = '{other.name}' limit {n_others}")
    page = text_of(write_centre(con, home, mine)[0])
    assert re.findall(r'<td class="n">([^<]*)</td></tr>', page)[-1] == shown


@pytest.mark.parametrize("centre", CENTRES.values(), ids=CENTRES)
def test_a_centre_is_spoken_to_in_its_language(demo_home: Path, centre: centres.Centre) -> None:
    texts = study.read_yaml(TEMPLATES / "texts.yaml")
    page = text_of(Home(demo_home).reports / "centres" / centre.name / "report.html")
    assert f'<html lang="{centre.language}">' in page and f"<h2>1. {texts[centre.language]['received']}</h2>" in page


@pytest.mark.parametrize("centre", CENTRES.values(), ids=CENTRES)
def test_study_and_unit_are_called_by_their_names_in_the_centres_language(
    demo_home: Path, centre: centres.Centre
) -> None:
    """The coordinating centre reads them in English, the centre in its own language, in page and query list."""
    folder = demo_home / "reports"
    titles = study.read_yaml(centre.folder / "centre.yaml")["title"]
    assert titles["en"] != titles["it"] and study.title("en") != study.title("it")
    other = "it" if centre.language == "en" else "en"
    page, overview = unescape(text_of(folder / "centres" / centre.name / "report.html")), text_of(folder / "index.html")
    with zipfile.ZipFile(folder / "centres" / centre.name / "queries.xlsx") as book:
        listed = unescape(book.read("xl/worksheets/sheet1.xml").decode() + book.read("docProps/core.xml").decode())
    for said in (page, listed):
        assert titles[centre.language] in said and study.title(centre.language) in said
        assert titles[other] not in said and study.title(other) not in said
    assert titles["en"] in overview and titles["it"] not in overview and study.title("en") in overview


@pytest.mark.parametrize("centre", CENTRES.values(), ids=CENTRES)
def test_what_was_received_is_called_by_its_forms(demo_home: Path, centre: centres.Centre) -> None:
    page = text_of(Home(demo_home).reports / "centres" / centre.name / "report.html")
    first = re.findall(r"<tr><t[dh][^>]*>([^<]*)<", page.split("<h2>1.")[1].split("<h2>2.")[0].split("<h3>")[0])
    assert len(first) > 1 and not set(first) & centre.sources.keys(), "a source's own name is ours"
    named = [called(centre.language).get(label, label) for label in forms().values()]
    assert any(cell.split(", ")[0] in named for cell in first)


def test_a_note_says_whose_record_it_is_about(copied: Study) -> None:
    con, home = copied
    name = next(iter(CENTRES))
    con.execute(f"delete from store.validated.findings; {FINDINGS} where centre = '{name}' limit 1")
    con.execute("update store.validated.findings set severity = 'note', local_message = 'It was noted.'")
    write_centre(con, home, CENTRES[name])
    ((own,),) = con.execute("""
        select min(l.local_id) from slice.main.staged_links l join store.validated.findings f using (centre, usubjid)
    """).fetchall()
    page = text_of(home.reports / "centres" / name / "report.html")
    cells = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]><t[dh][^>]*>It was noted", page)
    assert cells == [own]


def test_every_language_says_the_same_things() -> None:
    texts = study.read_yaml(TEMPLATES / "texts.yaml")
    assert {frozenset(said) for said in texts.values()} == {frozenset(texts["en"])}
    inside = {name for name, said in texts["en"].items() if isinstance(said, dict)} - {
        "words",
        "rejections",
    }  # English needs none
    assert len(inside) > 3
    assert [
        (n, language) for n in inside for language in texts if texts[language][n].keys() != texts["en"][n].keys()
    ] == []


def test_every_page_stands_alone_and_every_link_leads_somewhere(demo_home: Path) -> None:
    pages = {path: text_of(path) for path in (demo_home / "reports").rglob("*.html")}
    # the overview and the study's three; each centre's report lies in its outbox, too
    assert len(pages) == 4 + 2 * len(CENTRES)
    for path, page in pages.items():
        assert not re.search(r'@import|<link|<script|url\((?!#)|src=|(?<!xmlns)(?<!:xlink)="https?:', page), path
        for href in set(re.findall(r'href="([^"]+)"', page)):
            file, _, anchor = href.partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.is_file() and (not anchor or f'id="{anchor}"' in pages[target]), (path, href)


def test_the_overview_calls_a_centre_late_when_the_margin_is_over(copied: Study) -> None:
    con, home = copied
    newest = con.execute("select max(delivery_dt) from store.reports.centre_figures").fetchall()[0][0]
    fresh, late, *_ = CENTRES.values()
    for centre, over in ((fresh, 0), (late, 1)):
        silent = patience(centre.cadence_days, 110).days + over
        then = f"date '{newest}' - {silent}"
        con.execute(f"update store.reports.centre_figures set delivery_dt = {then} where centre = '{centre.name}'")
    page = text_of(write_index(con, home, 110)[0])
    told = re.findall(r"<li>([^<]*): its next delivery was due on [-0-9]+, ([0-9]+) days ago", page)
    assert told == [(late.title, str(patience(late.cadence_days, 110).days + 1 - late.cadence_days))]


def test_a_study_without_subjects_has_its_report(copied: Study) -> None:
    con, home = copied
    for name, table in study.tables().items():
        if table.schema in ("derived", "reports"):
            con.execute(f"delete from store.{name}")
    shutil.rmtree(home.reports)
    assert all(path.exists() for path in write_study(con, home))
    assert "Irradiated sites with response</small><b>none</b>" in text_of(home.reports / "study" / "report.html")


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(0.125, 2, "0.13"), (2.5, 0, "3"), (9.4456, 2, "9.45"), (14, 1, "14.0"), (None, 1, "not reached")],
)
def test_a_number_is_rounded_half_up(value: float | None, decimals: int, text: str) -> None:
    assert printed(value, decimals) == text
