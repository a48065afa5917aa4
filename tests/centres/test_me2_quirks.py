"""What a workbook that is kept by hand does to its reader; a small invented workbook per quirk."""

import datetime
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter
from delivered import deliver, rows

from pipelines.errors import DeliveryRejected
from pipelines.warehouse import Home

# written by xlwt 1.3.0: the sheets below, with an error cell, a day number and a hidden row in Lesioni
XLS = Path(__file__).parent / "me2_invented.xls"
DAY = datetime.date(2014, 2, 28)
LESIONS = [
    ["Codice", "Lesione", "Ruolo", "Sede", "Misurabile", "Data di riscontro", "Basale", *[None] * 3, "Rivalutazione 1"],
    [*[None] * 6, *["Data", "mm", "Stato", "Metodica"] * 2],
]
SHEETS: dict[str, list[list[Any]]] = {
    "Pazienti": [["Codice", "Sesso", "Età", "Istologia", "ECOG", "Ultimo controllo", "Decesso", "Nuova terapia"],
                 ["PZ-001", "maschio", 61, "cellule chiare", 1, DAY]],
    "Interventi": [["Codice", "Intervento", "Sede"], ["PZ-001", "nefrectomia", "rene"]],
    "Lesioni": [*LESIONS, ["PZ-001", "L1", "target", "osso", "SI", DAY, DAY, 34.5, "presente", "TC"]],
    "Valutazioni": [["Codice", "Visita", "Data", "Somma (cm)", "Risposta", "Progressione n.", "Data progressione",
                     "Tipo progressione"], ["PZ-001", 1, DAY, 2.8, "MS"]],
    "Terapia": [["Codice", "Farmaco", "Inizio", "Fine", "Dose (mg/die)", "Motivo"], ["PZ-001", "pazopanib", DAY]],
    "Tossicità": [["Codice", "Evento", "Grado CTCAE v4.0", "Inizio", "Fine", "Correlazione", "Esito"],
                  ["PZ-001", "nausea", 1, DAY]],
    "Esami": [["Codice", "Esame", "Data", "Valore", "Unità", "Limite inf.", "Limite sup."],
              ["PZ-001", "ALT", DAY, 31.5, "U/L", 0, 40]],
    "Identificativi": [["Codice", "Codice studio", "Sesso", "Anno di nascita"], ["PZ-001", "RCC-ME2-001-X", "M", 1953]],
}  # fmt: skip
Change = Callable[[Any], None]


def staged(tmp_path: Path, sheet: str = "", below: list[list[Any]] | None = None, change: Change | None = None) -> Path:
    """Take in the workbook with rows below those of one sheet; `change` may write into that sheet."""
    path = tmp_path / "book.xlsx"
    with xlsxwriter.Workbook(str(path), {"default_date_format": "dd/mm/yyyy"}) as book:
        for name, cells in SHEETS.items():
            page = book.add_worksheet(name)
            for number, row in enumerate(cells + ((below or []) if name == sheet else [])):
                page.write_row(number, 0, row)
            if change and name == sheet:
                change(page)
    return deliver(Home(tmp_path / "home"), "me2", {"ME2.xlsx": path.read_bytes()})


def findings(folder: Path) -> list[tuple[Any, ...]]:
    """What is asked or noted beside the columns that these small sheets leave out."""
    columns = "rule_id, source_row, field, value_received"
    return rows(
        folder / "findings.parquet", columns, "rule_id not in ('structure/missing_file', 'structure/missing_column')"
    )


def lesion(name: str, *baseline: Any) -> list[Any]:
    return ["PZ-001", name, "target", "osso", "SI", DAY, *baseline]


def visit(number: int) -> datetime.date:
    return DAY + datetime.timedelta(days=60 * number)


def test_one_column_holds_dates_of_every_kind(tmp_path: Path) -> None:
    cells = [DAY, 41698, "28/02/14", "28/02/2014", "2014-02-28", " 28/02/14\u00a0"]
    folder = staged(tmp_path, "Lesioni", [lesion(f"L{n}", c, 20, "presente", "TC") for n, c in enumerate(cells, 2)])
    found = rows(folder / "measurements.parquet", "lesion_id, trdt", "lesion_id <> 'L1'")
    assert found == [(f"L{n}", DAY) for n in range(2, 8)]
    assert findings(folder) == []


def test_numbers_and_words_for_nothing(tmp_path: Path) -> None:
    cells = {"28,0": "28", 34.5: "34.5", "34\u200b": "34", "n.v.": None, "ND": None, "?": None, " 28.5 ": "28.5"}
    folder = staged(tmp_path, "Lesioni", [lesion(f"L{n}", DAY, c, "presente", "TC") for n, c in enumerate(cells, 2)])
    found = rows(folder / "measurements.parquet", "lesion_id, diameter_mm", "lesion_id <> 'L1'")
    assert found == [(f"L{n}", Decimal(v) if v else None) for n, v in enumerate(cells.values(), 2)]
    assert findings(folder) == []


def test_what_cannot_be_read_is_asked_with_its_row(tmp_path: Path) -> None:
    cells = [">100", "20-25", "1.234,5"]
    folder = staged(tmp_path, "Lesioni", [lesion(f"L{n}", DAY, c, "presente", "TC") for n, c in enumerate(cells, 2)])
    asked = [("structure/unreadable_number", f"Lesioni!{n}", "Basale|mm", c) for n, c in enumerate(cells, 4)]
    assert findings(folder) == asked


def test_a_partial_date_is_asked_for_and_keeps_its_bounds(tmp_path: Path) -> None:
    cells = {
        "03/2014": ("month", "2014-03-01", "2014-03-31"),
        "04/2013": ("month", "2013-04-01", "2013-04-30"),
        "UN-MAR-2014": ("month", "2014-03-01", "2014-03-31"),
        "2014": ("year", "2014-01-01", "2014-12-31"),
    }
    folder = staged(tmp_path, "Lesioni", [lesion(f"L{n}", c, 20, "presente", "TC") for n, c in enumerate(cells, 2)])
    found = rows(folder / "measurements.parquet", "lesion_id, trdt", "lesion_id <> 'L1'")
    assert found == [(f"L{n}", None) for n in range(2, 6)]
    asked = [("structure/partial_date", f"Lesioni!{n}", "Basale|Data", c) for n, c in enumerate(cells, 4)]
    assert findings(folder) == asked
    bounds = "source_row, precision, lower_dt::varchar, upper_dt::varchar"
    assert rows(folder / "partial_dates.parquet", bounds) == [
        (f"Lesioni!{n}", *bound) for n, bound in enumerate(cells.values(), 4)
    ]


def test_a_number_typed_into_a_cell_of_dates_is_no_day_of_1905(tmp_path: Path) -> None:
    """The sheet shows 06/07/1905 for the year 2014."""
    typed = {2014: ("2014", "partial"), 1: ("1900-01-01", "unreadable"), 31: ("1900-01-31", "unreadable"),
             61: ("61", "unreadable")}  # fmt: skip
    folder = staged(
        tmp_path, "Lesioni", [lesion(f"L{n}", None, 20, "presente", "TC") for n in range(2, 6)],
        lambda page: [page.write_number(r, 6, n, page.default_date_format) for r, n in enumerate(typed, 3)],
    )  # fmt: skip
    found = rows(folder / "measurements.parquet", "lesion_id, trdt", "lesion_id <> 'L1'")
    assert found == [(f"L{n}", None) for n in range(2, 6)]
    asked = (
        (f"structure/{r}_date", f"Lesioni!{n}", "Basale|Data", text) for n, (text, r) in enumerate(typed.values(), 4)
    )
    assert findings(folder) == sorted(asked)


def test_centimetres_in_one_column_and_letters_of_two_languages(tmp_path: Path) -> None:
    below = [
        ["PZ-001", n, visit(n), "3,45", word] for n, word in enumerate(["RC", "RP", "MS", "PD", "CR", "PR", "SD"], 2)
    ]
    folder = staged(tmp_path, "Valutazioni", [*below, ["PZ-001", 9, visit(9), None, "stabile"]])
    found = rows(folder / "responses.parquet", "visitnum, overall_response, sum_mm", "visitnum > 1")
    codes = ["CR", "PR", "SD", "PD", "CR", "PR", "SD"]
    assert found == [(n, code, Decimal("34.5")) for n, code in enumerate(codes, 2)] + [(9, None, None)]
    assert findings(folder) == [("structure/unmapped_code", "Valutazioni!10", "Risposta", "stabile")]


def test_totals_blank_rows_and_the_signature_are_no_records(tmp_path: Path) -> None:
    below = [["Totale", "1 lesione"], [], lesion("L2", DAY, 20, "presente", "TC"), [None, None], ["Totale", "2"],
             ["Compilato da: data manager"], ["PZ-001", "L9"]]  # fmt: skip
    folder = staged(tmp_path, "Lesioni", below)
    assert rows(folder / "lesions.parquet", "lesion_id, source_row") == [("L1", "Lesioni!3"), ("L2", "Lesioni!6")]
    assert rows(folder / "dropped.parquet", "source_row, reason") == [
        ("Lesioni!10", "footer"), ("Lesioni!4", "total_row"), ("Lesioni!8", "total_row"), ("Lesioni!9", "footer"),
    ]  # fmt: skip


def test_records_below_the_signature_are_asked(tmp_path: Path) -> None:
    folder = staged(tmp_path, "Esami", [["Compilato da: data manager"], ["PZ-001", "AST", DAY, 30, "U/L", 0, 40]])
    assert findings(folder) == [("structure/row_below_footer", "Esami!4", "Codice", None)]


def test_a_row_without_its_patient_is_asked(tmp_path: Path) -> None:
    """Cells that are merged down leave the rows below the first one without a code."""
    folder = staged(tmp_path, "Esami", [[None, "AST", DAY, 30, "U/L", 0, 40]])
    assert findings(folder) == [("structure/no_study_code", "Esami!3", "Codice", None)]
    assert rows(folder / "dropped.parquet", "source_row, reason") == []


def test_a_response_without_its_day_is_kept(tmp_path: Path) -> None:
    below = [["PZ-001", 2, None, 3.1, "RP"], ["PZ-001", 3, None], ["PZ-001", 4, "ND", 3.1, "RP"], ["PZ-001", 5, "ND"]]
    folder = staged(tmp_path, "Valutazioni", below)
    kept = rows(folder / "responses.parquet", "visitnum, overall_response, rsdt", "rsdt is null")
    assert kept == [(2, "PR", None), (4, "PR", None)]
    kind = "Data: -, Risposta: -, Data progressione: -"
    asked = ("structure/unused_row", "Valutazioni!4", "Data, Risposta, Data progressione", kind)
    assert findings(folder) == [asked]


def test_a_hidden_row_is_data_and_noted(tmp_path: Path) -> None:
    below = [lesion(f"L{n}", DAY, 20, "presente", "TC") for n in (2, 3)]
    folder = staged(
        tmp_path, "Lesioni", below, lambda page: [page.set_row(n, None, None, {"hidden": True}) for n in (3, 4)]
    )
    assert len(rows(folder / "lesions.parquet", "lesion_id")) == 3
    assert findings(folder) == [("structure/hidden_row", f"Lesioni!{n}", None, None) for n in (4, 5)]
    assert len(rows(folder / "findings.parquet", "distinct record_key", "rule_id = 'structure/hidden_row'")) == 2


def test_formulas_and_errors(tmp_path: Path) -> None:
    def change(page: Any) -> None:
        page.write_formula(2, 3, "=3.1+0.3", None, 3.4)

    folder = staged(tmp_path, "Valutazioni", [["PZ-001", 2, visit(2)]], change)
    assert rows(folder / "responses.parquet", "sum_mm", "visitnum = 2") == [(Decimal(34),)]
    for text, cached in (("=NA()", "#N/A"), ("=B2/10", None)):
        home = tmp_path / text[1:3]
        home.mkdir()

        def change(page: Any, text: str = text, cached: str | None = cached) -> None:
            page.write_formula(2, 3, text, None, cached or "")

        folder = staged(home, "Valutazioni", [["PZ-001", 2, visit(2)]], change)
        assert rows(folder / "responses.parquet", "sum_mm", "visitnum = 2") == [(None,)]
        asked = [("structure/unreadable_number", "Valutazioni!3", "Somma (cm)", cached or text)]
        assert findings(folder) == asked


def test_the_same_workbook_as_xls(tmp_path: Path) -> None:
    folder = deliver(Home(tmp_path / "home"), "me2", {"ME2.xls": XLS.read_bytes()})
    found = rows(folder / "measurements.parquet", "lesion_id, visitnum, trdt, diameter_mm, source_row")
    assert found == [
        ("L1", 0, DAY, Decimal("34.5"), "Lesioni!3"),
        ("L1", 1, datetime.date(2014, 6, 10), Decimal(28), "Lesioni!3"),
        ("L2", 0, DAY, None, "Lesioni!4"),
    ]
    assert findings(folder) == [
        ("structure/hidden_row", "Lesioni!4", None, None),
        ("structure/unreadable_number", "Lesioni!4", "Basale|mm", "#N/A"),
    ]
    assert rows(folder / "labs.parquet", "lbstresn") == [(Decimal("31.5"),)]


def test_an_xls_beside_its_xlsx_adds_nothing(tmp_path: Path) -> None:
    staged(tmp_path)
    both = {"ME2.xlsx": (tmp_path / "book.xlsx").read_bytes(), "ME2.xls": XLS.read_bytes()}
    folder = deliver(Home(tmp_path / "both"), "me2", both)
    assert rows(folder / "received.parquet", "distinct source_file, source is null") == [
        ("ME2.xls", True), ("ME2.xlsx", False),
    ]  # fmt: skip


def test_a_missing_sheet_or_a_damaged_workbook_rejects_the_delivery(tmp_path: Path) -> None:
    staged(tmp_path)
    whole = (tmp_path / "book.xlsx").read_bytes()
    for number, (files, wanted) in enumerate((
        ({"ME2.xlsx": whole[:3000]}, "ME2.xlsx: expected a workbook that is complete"),
        ({"ME2.xlsm": whole}, "expected this file in the delivery"),
        ({"ME2.xls": XLS.read_bytes()[:6000]}, "ME2.xls: expected a workbook that is complete"),
        ({"ME2.xlsx": XLS.read_bytes().replace(b"Esami", b"Altro")}, "expected a sheet named Esami"),
    )):  # fmt: skip
        with pytest.raises(DeliveryRejected, match=wanted.replace(".", r"\.")):
            deliver(Home(tmp_path / str(number)), "me2", files)
