"""What a REDCap export does to its reader: labels for codes, boxes, missing codes, old validation, identifiers."""

import csv
import io
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from delivered import compared, deliver, rows, write_export

from pipelines import study
from pipelines.errors import DeliveryRejected
from pipelines.warehouse import Home

NAME, DATA, DICTIONARY = "me1", "ME1_DATA.csv", "ME1_DataDictionary.csv"
CHOICES = "Choices, Calculations, OR Slider Labels"
Table = tuple[list[str], list[dict[str, str]]]
Edit = Callable[[Table], Table]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_export(NAME, tmp_path_factory.mktemp("export"))


def read(path: Path) -> Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        rows = list(reader)
        return list(reader.fieldnames or []), rows


def written(table: Table) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, table[0])
    writer.writeheader()
    writer.writerows(table[1])
    return file.getvalue().encode("utf-8-sig")


def taken(tmp_path: Path, export: Path, **edits: Edit) -> Path:
    """Deliver the export with some files edited; returns the folder of the staged tables."""
    edited = {p.name: written(edits.get(p.stem, lambda t: t)(read(p))) for p in export.glob("*.csv")}
    return deliver(Home(tmp_path / "home"), NAME, edited)


def changed(**cells: str) -> Edit:
    """Put texts into the first row that has something in every one of the columns."""

    def edit(table: Table) -> Table:
        row = next(r for r in table[1] if all(r[c] for c in cells))
        row.update(cells)
        return table

    return edit


def choices(dictionary: Table) -> dict[str, dict[str, str]]:
    found = {}
    for row in dictionary[1]:
        words = row[CHOICES].split("|")
        found[row["Variable / Field Name"]] = {
            w.split(",", 1)[0].strip(): w.split(",", 1)[1].strip() for w in words if w
        }
    for row in dictionary[1]:
        if row["Field Type"] == "yesno":
            found[row["Variable / Field Name"]] = {"1": "Yes", "0": "No"}
    return found


def by_labels(dictionary: Table) -> Edit:
    """The same export in label mode: labels for codes, words for boxes and states of forms, headers as they were."""
    labels = choices(dictionary)

    def shown(column: str, text: str) -> str:
        if column == "redcap_repeat_instrument":
            return text.capitalize()
        if column.endswith("_complete"):
            return {"0": "Incomplete", "1": "Unverified", "2": "Complete"}.get(text, text)
        if "___" in column:
            return {"0": "Unchecked", "1": "Checked"}.get(text, text)
        return labels.get(column, {}).get(text, text)

    return lambda t: (t[0], [{c: shown(c, text) for c, text in row.items()} for row in t[1]])


def test_a_delivery_by_labels_reads_as_the_one_by_codes(tmp_path: Path, export: Path) -> None:
    codes = taken(tmp_path / "codes", export)
    edit = by_labels(read(export / DICTIONARY))
    labels = taken(tmp_path / "labels", export, ME1_DATA=edit, ME1_identification_log=edit)
    assert read(export / DATA) != edit(read(export / DATA))
    for table in study.staged_tables():
        assert rows(labels / f"{table}.parquet", compared(table)) == rows(codes / f"{table}.parquet", compared(table))
    assert rows(labels / "findings.parquet", "rule_id, field, value_received") == []


def test_labels_as_headers_are_refused(tmp_path: Path, export: Path) -> None:
    """Raw headers are agreed; a label may change or stand twice."""
    named = {"record_id": "Record ID", "redcap_repeat_instrument": "Repeat Instrument"}

    def edit(t: Table) -> Table:
        return [named.get(c, c) for c in t[0]], [{named.get(c, c): v for c, v in row.items()} for row in t[1]]

    with pytest.raises(DeliveryRejected) as rejected:
        taken(tmp_path, export, ME1_DATA=edit)
    for key in named:
        assert f"{DATA}, column {key}: expected this key column with values" in str(rejected.value)


@pytest.mark.parametrize("word", ["-99", "NI", "UNK", "", " "])
def test_words_for_missing_are_no_values_and_no_findings(tmp_path: Path, export: Path, word: str) -> None:
    before = taken(tmp_path / "before", export)
    edit = changed(mea_mm=word, mea_state=word)
    after = taken(tmp_path / "after", export, ME1_DATA=edit)
    counted = "count(diameter_mm), count(lesion_state), count(*)"
    ((mm, state, n),) = rows(before / "measurements.parquet", counted)
    assert rows(after / "measurements.parquet", counted) == [(mm - 1, state - 1, n)]
    assert rows(after / "findings.parquet", "rule_id") == []


@pytest.mark.parametrize("day", ["", "UNK"])
def test_a_response_without_its_day_is_kept(tmp_path: Path, export: Path, day: str) -> None:
    def edit(table: Table) -> Table:
        row = next(r for r in table[1] if r["ass_date"] and r["ass_response"] and not r["pd_date"])
        row["ass_date"] = day
        return table

    kept, folder = "count(*), count(overall_response)", taken(tmp_path / "after", export, ME1_DATA=edit)
    before = taken(tmp_path / "before", export)
    assert rows(folder / "responses.parquet", kept) == rows(before / "responses.parquet", kept)
    assert rows(folder / "responses.parquet", "count(*)", "rsdt is null") == [(1,)]
    assert rows(folder / "findings.parquet", "rule_id") == []


def test_a_form_under_another_name_is_asked(tmp_path: Path, export: Path) -> None:
    def edit(table: Table) -> Table:
        for row in table[1]:
            name = row["redcap_repeat_instrument"]
            row["redcap_repeat_instrument"] = {"toxicity": "Adverse events"}.get(name, name)
        return table

    folder = taken(tmp_path, export, ME1_DATA=edit)
    assert rows(folder / "adverse_events.parquet", "*") == []
    ((rule, value),) = rows(folder / "findings.parquet", "rule_id, value_received")
    assert rule == "structure/unused_row" and value.startswith("redcap_repeat_instrument: Adverse events, ")


@pytest.mark.parametrize(
    ("cells", "rule", "table", "column"),
    [
        ({"mea_date": "55:02"}, "unreadable_date", "measurements", "trdt"),
        ({"mea_date": "03/28/2014"}, "unreadable_date", "measurements", "trdt"),
        ({"mea_date": "1900-01-01"}, "unreadable_date", "measurements", "trdt"),
        ({"mea_mm": ">100"}, "unreadable_number", "measurements", "diameter_mm"),
        ({"mea_mm": "1.234,5"}, "unreadable_number", "measurements", "diameter_mm"),
        ({"mea_state": "77"}, "unmapped_code", "measurements", "lesion_state"),
        ({"les_measurable": "2"}, "unreadable_flag", "lesions", "measurable_fl"),
        ({"ae_grade": "3-4"}, "unreadable_number", "adverse_events", "aetoxgr"),
    ],
)
def test_what_the_form_let_through_is_a_finding(
    tmp_path: Path, export: Path, cells: dict[str, str], rule: str, table: str, column: str
) -> None:
    staged = taken(tmp_path, export, ME1_DATA=changed(**cells))
    ((field, text),) = cells.items()
    columns = "rule_id, field, value_received, table_name, staged_field, source_file"
    assert rows(staged / "findings.parquet", columns) == [(f"structure/{rule}", field, text, table, column, DATA)]
    ((line,),) = rows(staged / "findings.parquet", "source_row")
    assert rows(staged / f"{table}.parquet", column, f"source_row = '{line}'") == [(None,)]
    assert (export / DATA).read_text("utf-8-sig").splitlines()[int(line) - 1].split(",")[1]


def test_decimal_comma_and_point_in_one_file(tmp_path: Path, export: Path) -> None:
    staged = taken(tmp_path, export, ME1_DATA=changed(mea_mm="28,5"))
    assert rows(staged / "measurements.parquet", "diameter_mm", "diameter_mm = 28.5")[0] == (Decimal("28.5"),)
    sums = [r["ass_sum"] for r in read(export / DATA)[1] if "," in r["ass_sum"]]
    assert sums, "the export writes a comma here and a point there"
    assert rows(staged / "findings.parquet", "rule_id") == []


def test_spaces_in_choices_are_optional_and_labels_hold_commas(tmp_path: Path, export: Path) -> None:
    def edit(t: Table) -> Table:
        for row in t[1]:
            row[CHOICES] = row[CHOICES].replace(" | ", "|").replace("1, ", "1,").replace("2, ", "2 , ")
        return t

    assert any("Pleura, no effusion" in r[CHOICES] for r in read(export / DICTIONARY)[1])
    before, after = taken(tmp_path / "a", export), taken(tmp_path / "b", export, ME1_DataDictionary=edit)
    for table in ("lesions", "subjects", "surgeries"):
        assert rows(after / f"{table}.parquet", compared(table)) == rows(before / f"{table}.parquet", compared(table))
    assert rows(after / "findings.parquet", "rule_id") == []


def test_a_column_marked_as_an_identifier_is_never_landed(tmp_path: Path, export: Path) -> None:
    """Named by the mapping or not: a note says so, and nobody is asked for it."""

    def mark(t: Table) -> Table:
        t[1].append(dict.fromkeys(t[0], "") | {"Variable / Field Name": "initials", "Identifier?": "y"})
        for row in t[1]:
            row["Identifier?"] = "y" if row["Variable / Field Name"] in ("initials", "age", "sites") else ""
        return t

    def add(t: Table) -> Table:
        return [*t[0], "initials"], [row | {"initials": "XQZ"} for row in t[1]]

    staged = taken(tmp_path, export, ME1_DATA=add, ME1_DataDictionary=mark)
    found = rows(staged / "findings.parquet", "rule_id, field, value_received")
    assert found == [("structure/identifier_column", c, None) for c in ("age", "initials")]
    assert rows(staged / "subjects.parquet", "count(age_years)") == [(0,)]
    landed = next((tmp_path / "home" / "landed" / NAME).glob("*/data.parquet"))
    assert not any("XQZ" in str(row) for row in rows(landed, "*"))
    assert "age" not in {
        c for (c,) in duckdb.connect().execute(f"select name from parquet_schema('{landed}')").fetchall()
    }


def test_a_key_that_is_marked_as_an_identifier_is_refused(tmp_path: Path, export: Path) -> None:
    def mark(t: Table) -> Table:
        t[1][0]["Identifier?"] = "y"
        return t

    with pytest.raises(DeliveryRejected, match="column record_id"):
        taken(tmp_path, export, ME1_DataDictionary=mark)


def test_a_value_that_names_a_person_rejects_the_delivery(tmp_path: Path, export: Path) -> None:
    with pytest.raises(DeliveryRejected) as rejected:
        taken(tmp_path, export, ME1_DATA=changed(les_label="RSSMRA80A01H501U"))
    assert "looks like: Italian fiscal code" in str(rejected.value) and "RSSMRA" not in str(rejected.value)


def test_an_unknown_column_is_counted(tmp_path: Path, export: Path) -> None:
    def add(t: Table) -> Table:
        return [*t[0], "mood"], [row | {"mood": "good" if n < 3 else " "} for n, row in enumerate(t[1])]

    staged = taken(tmp_path, export, ME1_DATA=add)
    found = rows(staged / "findings.parquet", "rule_id, field, value_received, source_file")
    assert found == [("structure/unknown_column", "mood", "3", DATA)]


@pytest.mark.parametrize("text", ["1E5", "1.0", "x1"])
def test_an_id_that_a_spreadsheet_damaged(tmp_path: Path, export: Path, text: str) -> None:
    staged = taken(tmp_path, export, ME1_DATA=changed(record_id=text, mea_lesion="L1"))
    found = rows(staged / "findings.parquet", "distinct rule_id, field", "rule_id = 'structure/damaged_id'")
    assert found == [("structure/damaged_id", "record_id")]
    assert rows(staged / "measurements.parquet", "count(*)", f"local_id = '{text}'") == [(0,)]
    assert not any(text in str(v) for v in rows(staged / "findings.parquet", "value_received, record_key"))


def test_no_box_ticked_at_all_is_taken_as_it_is(tmp_path: Path, export: Path) -> None:
    """The lesions say which sites were involved; the boxes are known and not taken, so their blanks mean nothing."""

    def untick(t: Table) -> Table:
        return t[0], [{c: "0" if "___" in c and v else v for c, v in row.items()} for row in t[1]]

    before, after = taken(tmp_path / "a", export), taken(tmp_path / "b", export, ME1_DATA=untick)
    assert rows(after / "lesions.parquet", "usubjid, anatomic_site") == rows(
        before / "lesions.parquet", "usubjid, anatomic_site"
    )
    assert rows(after / "findings.parquet", "rule_id") == []
