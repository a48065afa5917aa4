"""What leaves for one centre names its own subjects only and tells no small count of the others."""

import csv
import html
import re
import zipfile
from contextlib import closing
from functools import cache
from pathlib import Path

import pytest

from pipelines import centres, study, warehouse
from pipelines.disclosure import escape_formula, readable
from pipelines.outbox.keep import FILES
from pipelines.reports.centre_report import write_centre
from pipelines.warehouse import Home
from tests.acceptance.line import made_from
from tests.conftest import Restage

pytestmark = pytest.mark.long

HOSTILE_CENTRE = "rt4"  # the radiotherapy unit that sends UTF-8
HOSTILE = [
    "=cmd|' /C calc'!A0", "+1+cmd", "-2+3", "@SUM(1+9)*cmd", " =1+1", "＝1+1", "see;=1+1", "see,@SUM(1)", "see|+x",
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "tab\t=1+1", "line\n=1+1", "\u202egnp.exe",
    "a\u2066b\u200bc", "bell\x07", "]]>&amp;{{ 7*7 }}", '"=1+1', "y" * 40_000,
]  # fmt: skip
CENTRES = centres.load_all(study.ROOT / "centres")


@pytest.fixture(scope="module")
def defect_home(tmp_path_factory: pytest.TempPathFactory, restage: Restage) -> Path:
    """Sixty invented patients whose exports hold every kind of planted error."""
    home = tmp_path_factory.mktemp("defects") / "home"
    made = restage("simulate", "--patients", "60", "--seed", "7", "--defects", "0.05", "--out", home)
    assert made.returncode == 0, made.stderr
    (delivery,) = (home / "inbox" / HOSTILE_CENTRE).iterdir()
    (delivery / "manifest.yaml").unlink()  # its sums are those of the files before
    file = delivery / "restagings.csv"
    with file.open(encoding="utf-8", newline="") as source:
        head, *rows = list(csv.reader(source))
    for row, text in zip(rows, HOSTILE, strict=False):
        row[head.index("finding")] = text
    with file.open("w", encoding="utf-8", newline="") as target:
        csv.writer(target, quoting=csv.QUOTE_ALL).writerows([[*head, HOSTILE[0]], *([*row, "x"] for row in rows)])
    assert restage("run", "--home", home).returncode in (0, 3)
    return home


@pytest.fixture(params=["demo_home", "defect_home"])
def study_home(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


@cache
def known_to(home: Path) -> dict[str, set[str]]:
    """Centre -> the local ids and study codes that stand in its own files: those of its own subjects."""
    found: dict[str, set[str]] = {}
    with closing(warehouse.memory()) as con:
        for name in CENTRES:
            found[name] = set()
            for path in (home / "staged" / name).glob("*.parquet"):
                columns = {c for (c,) in con.execute(f"select column_name from (describe from '{path}')").fetchall()}
                for column in columns & {"local_id", "usubjid"}:
                    found[name] |= {
                        i for (i,) in con.execute(f"select distinct {column} from '{path}'").fetchall() if i
                    }
    return found


def texts(path: Path) -> list[str]:
    """All that a reader of a file can find: a page with its entities and pictures read, every part of a book."""
    if path.suffix == ".xlsx":
        with zipfile.ZipFile(path) as book:
            return [html.unescape(book.read(name).decode("utf-8")) for name in book.namelist()]
    raw = path.read_text(encoding="utf-8-sig")
    return [html.unescape(raw)] if path.suffix == ".html" else [raw]


def edition(home: Path, centre: str) -> Path:
    (found,) = (home / "reports" / "centres" / centre / "outbox").iterdir()
    assert {path.name for path in found.iterdir()} == set(FILES)
    return found


@pytest.mark.parametrize("centre", CENTRES)
def test_an_outbox_names_no_subject_of_another_centre(study_home: Path, centre: str) -> None:
    """Any id that says something outside its column: local ids and study codes of all centres, the shared ones too."""
    known = known_to(study_home)
    others = {i for name, ids in known.items() if name != centre for i in ids} - known[centre]
    telling = sorted(i for i in others if len(i) > 3 or not i.isdigit())
    assert len(telling) > 40
    pattern = re.compile(rf"(?<![\w-])({'|'.join(map(re.escape, telling))})(?![\w-])", re.IGNORECASE)
    for path in edition(study_home, centre).iterdir():
        assert {hit for text in texts(path) for hit in pattern.findall(text)} == set(), path.name


@pytest.mark.parametrize("centre", CENTRES)
def test_the_patients_of_a_query_list_are_the_centres_own(study_home: Path, centre: str) -> None:
    """Ids too short to be looked for in a text, in the column that holds nothing else."""
    with (edition(study_home, centre) / "queries.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file, delimiter=CENTRES[centre].queries_delimiter))
    assert rows or "defects" not in str(study_home)
    assert {row["local_id"].lstrip("'") for row in rows} - {""} <= {readable(i) for i in known_to(study_home)[centre]}


def test_a_linked_subject_belongs_to_both_of_its_centres(demo_home: Path) -> None:
    """One of each kind knows its study code; so the searches above let either read of it, and no third."""
    known = known_to(demo_home)
    kinds = {kind: {n for n, c in CENTRES.items() if c.kind == kind} for kind in ("oncology", "radiotherapy")}
    with closing(warehouse.open_read(Home(demo_home))) as con:
        codes = {c for (c,) in con.execute("select usubjid from derived.adsl").fetchall()}
    assert codes
    for code in codes:
        assert [sum(code in known[n] for n in names) for names in kinds.values()] == [1, 1]


def test_an_identifier_of_another_centre_would_be_found(demo_home: Path, tmp_path: Path) -> None:
    """The search above sees through entities, inside a workbook, and inside a picture of a page."""
    planted = {
        "a.html": "<svg><text>PZ&#45;004</text></svg>",
        "b.html": '<script type="application/json">{"id": "PZ-004"}</script>',
        "c.csv": "x;PZ-004;y",
    }
    for name, text in planted.items():
        (tmp_path / name).write_text(text)
    with zipfile.ZipFile(tmp_path / "d.xlsx", "w") as book:
        book.writestr("xl/comments1.xml", "<t>PZ-004</t>")
    for path in sorted(tmp_path.iterdir()):
        assert [t for t in texts(path) if "PZ-004" in t], path.name


def test_hostile_texts_of_an_export_arrive_as_texts_and_nothing_else(defect_home: Path) -> None:
    """In the page, the workbook and the list; each can be read, none runs, none hides, none bursts its cell."""
    import openpyxl

    folder = edition(defect_home, HOSTILE_CENTRE)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page and "<img src=x" not in page
    sheet = openpyxl.load_workbook(folder / "queries.xlsx")["queries"]
    cells = {cell.coordinate: cell for row in sheet.iter_rows() for cell in row if cell.value is not None}
    assert {cell.data_type for cell in cells.values()} == {"s"}
    raw = (folder / "queries.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.DictReader(raw.splitlines(), delimiter=CENTRES[HOSTILE_CENTRE].queries_delimiter))
    assert len(rows) == sheet.max_row - 1 == len(raw.splitlines()) - 1, "one line a query"
    for text in HOSTILE:
        shown = escape_formula(text.strip())
        assert shown in {row["value_received"] for row in rows}, text[:40]
        assert shown in {str(cell.value) for cell in cells.values()}, text[:40]
        assert html.escape(readable(text.strip())).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page, text[
            :40
        ]
    for written in (page, raw, *(str(cell.value) for cell in cells.values())):
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u200b\u202a-\u202e\u2066-\u2069]", written)
    for line in raw.splitlines():
        for delimiter in ",;|\t":
            begins = (cell.strip(' "') for cell in line.split(delimiter))
            assert not [b for b in begins if b.startswith(tuple("=+-@＝")) and not re.fullmatch(r"[+-][\d.,]+", b)]


@pytest.fixture(scope="module")
def few_others(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, bytes]]:
    """What the first centre is sent when 2, and when 4, patients of the study are not its own."""
    reference = study.ROOT / "examples" / "reference_study"
    unit = "A"
    sent = {}
    for n in (2, 4):
        folder = tmp_path_factory.mktemp(f"others{n}")
        with closing(warehouse.memory()) as con:
            patients = f"read_csv('{reference}/cohort.csv', all_varchar = true)"
            con.execute(f"""
                create table kept as
                (from {patients} where onc_unit = '{unit}' order by patient) union all
                (from {patients} where onc_unit <> '{unit}' order by oligo_progression, patient limit {n})
            """)
            con.execute(f"copy kept to '{folder}/cohort.csv'")
            lesions = f"read_csv('{reference}/lesions.csv', all_varchar = true)"
            con.execute(f"copy (from {lesions} semi join kept using (patient)) to '{folder}/lesions.csv'")
        home = Home(folder / "home")
        with closing(made_from(folder / "cohort.csv", folder / "lesions.csv", home.root)) as con:
            names = {c for (c,) in con.execute("select distinct centre from store.harmonised.links").fetchall()}
            own = sorted(n for n in names if CENTRES[n].kind == "oncology")[0]
            sent[n] = {path.name: path.read_bytes() for path in write_centre(con, home, CENTRES[own])}
            others = con.execute(f"""
                select count(distinct usubjid) from store.harmonised.links
                where usubjid not in (select usubjid from store.harmonised.links where centre = '{own}')
            """).fetchall()
            assert others == [(n,)]
    return sent


def test_a_small_number_of_others_changes_nothing_that_a_centre_reads(few_others: dict[int, dict[str, bytes]]) -> None:
    """Two other patients or four: not one byte tells which, in no sum, median, share or picture."""
    assert few_others[2] == few_others[4]
