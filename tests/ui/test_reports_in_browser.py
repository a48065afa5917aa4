"""The reports as a browser shows them: each stands alone, in its language, and can be read by everybody."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import centres, study

CENTRES = centres.load_all(study.ROOT / "centres")
PAGES = ["index.html", "study/report.html", "study/sources.html", *(f"centres/{c}/report.html" for c in CENTRES)]


@pytest.fixture
def opened(browser: Any, demo_home: Path, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page of the reports; `asked` is what the browser wanted to load for it, `faults` what it complained of."""
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.asked, page.faults = [], []
    page.on("request", lambda asked: page.asked.append(asked.url))
    page.on("console", lambda said: page.faults.append(said.text))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto((demo_home / "reports" / request.param).as_uri())
    yield page
    page.close()


def every(names: list[str]) -> pytest.MarkDecorator:
    """Each of the pages; the one of all records takes half a minute to look through."""
    marked = [pytest.param(n, id=n, marks=[pytest.mark.long] * (n == "study/sources.html")) for n in names]
    return pytest.mark.parametrize("opened", marked, indirect=True)


@every(PAGES)
def test_no_request_leaves_the_file_and_nothing_serious_is_in_the_way_of_a_reader(opened: Any) -> None:
    from axe_playwright_python.sync_playwright import Axe

    assert opened.asked == [opened.url]
    assert opened.faults == []
    found = Axe().run(opened).response
    assert len(found["passes"]) > 10  # axe did look
    serious = [v for v in found["violations"] if v["impact"] in ("serious", "critical")]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in serious] == []


@every(PAGES)
def test_headings_are_in_order_and_tables_have_heads(opened: Any) -> None:
    levels = [int(h.evaluate("e => e.tagName[1]")) for h in opened.query_selector_all("h1, h2, h3, h4")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert opened.locator("thead th:not([scope])").count() == 0


@every(PAGES)
def test_nothing_is_wider_than_the_window(opened: Any) -> None:
    """Wide tables scroll inside themselves."""
    assert opened.evaluate("document.documentElement.scrollWidth") <= 1100


@pytest.mark.parametrize(
    ("opened", "centre"), [(f"centres/{c}/report.html", c) for c in CENTRES], indirect=["opened"], ids=CENTRES
)
def test_a_centre_finds_its_sections_in_its_language(opened: Any, centre: str) -> None:
    language = CENTRES[centre].language
    t = study.read_yaml(study.ROOT / "pipelines" / "reports" / "templates" / "texts.yaml")[language]
    assert opened.locator("html").get_attribute("lang") == language
    heads = opened.locator("h2").all_inner_texts()
    wanted = [t["received"], t["key_figures"], t["queries"], t["pictures"]]
    assert heads == [*(f"{i}. {text}" for i, text in enumerate(wanted, 1)), t["others"]]
    head = opened.locator("dl.head").inner_text()
    assert CENTRES[centre].contact in head and t["reply_by"] in head and "2017-05-02" in head
    assert opened.locator("table.figures tbody tr").count() == len(t["figures"])
    pictures = opened.locator("figure svg[role=img]")
    assert pictures.count() >= 3
    assert all(len(p.get_attribute("aria-label") or "") > 20 for p in pictures.all())


@every(["centres/me2/report.html"])
def test_a_query_says_whom_it_is_about_and_what_to_do_in_no_words_of_ours(opened: Any) -> None:
    queries = opened.locator("section, .asked")
    assert queries.count() >= 1
    text = opened.locator("main").inner_text()
    assert "PZ-004" in text and "Che cosa fare:" in text and "ME2_RCC_pazopanib.xlsx, riga Pazienti!8" in text
    ours = {name for table in study.tables().values() for name in (table.name, *(c.name for c in table.columns))}
    assert [name for name in ours if "_" in name and re.search(rf"(?<![\w.]){name}(?![\w.])", text)] == []


@every(["index.html"])
def test_the_index_leads_to_every_report(opened: Any, demo_home: Path) -> None:
    linked = {a.get_attribute("href") for a in opened.locator("a").all()}
    assert {name for name in PAGES if name != "index.html"} <= linked
    assert {f"centres/{c}/queries.xlsx" for c in CENTRES} <= linked
    assert all((demo_home / "reports" / str(target)).exists() for target in linked)
    assert opened.get_by_text("Every centre has delivered in its time.").is_visible()
    assert opened.locator("figure svg").count() == 1


@every(["index.html", "centres/me2/report.html"])
def test_a_page_prints_on_a4(opened: Any) -> None:
    printed = opened.pdf(prefer_css_page_size=True)
    boxes = {tuple(float(n) for n in box.split()) for box in re.findall(rb"/MediaBox\s*\[([^\]]+)\]", printed)}
    assert {tuple(round(n / 72 * 25.4) for n in box[2:]) for box in boxes} == {(210, 297)}
