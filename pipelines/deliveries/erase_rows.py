"""One file without some rows, a writer a format; all others keep their place. `ids`: how the centre calls a subject."""

import re
import zipfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipelines.readers.odm_walk import LEVELS

Specs = Sequence[Mapping[str, Any]]
SHEET = re.compile(r"xl/worksheets/.*\.xml")
REMARKS = re.compile(r"xl/(comments|threadedComments/|persons/).*\.xml")


def lines(path: Path, specs: Specs, places: Collection[str], target: Path, ids: Collection[str] = ()) -> None:
    """Text: the lines of a record become blank ones; a record goes on as long as its quotes are open."""
    spec, gone, inside = specs[0], {int(p) for p in places}, False
    encoding, quote = spec.get("encoding", "utf-8"), spec.get("quote", '"') if spec["format"] == "csv" else ""
    with (
        path.open(encoding=encoding, newline="\n") as source,
        target.open("w", encoding=encoding, newline="") as copy,
    ):
        for number, line in enumerate(source, 1):
            if number in gone or inside:
                inside ^= bool(quote) and line.count(quote) % 2 == 1
                line = line[len(line.rstrip("\r\n")) :]
            copy.write(line)


def ndjson(path: Path, specs: Specs, places: Collection[str], target: Path, ids: Collection[str] = ()) -> None:
    """FHIR: the lines, and those of resources that nothing reads where they refer to the subject."""
    refers = re.compile("|".join(f'["/]{re.escape(i)}"' for i in ids) or "(?!)", re.IGNORECASE)
    with path.open(encoding="utf-8", newline="\n") as source:
        others = {str(number) for number, line in enumerate(source, 1) if refers.search(line)}
    lines(path, specs, {*places, *others}, target)


def odm(path: Path, specs: Specs, places: Collection[str], target: Path, ids: Collection[str] = ()) -> None:
    """ODM-XML: all that stands under the subject is emptied, and its item groups stay to be counted."""
    from lxml import etree

    tree = etree.parse(str(path), etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False))
    keys, numbers = set(), Counter[str]()
    for element in tree.iter(*(f"{{*}}{kind}" for kind in LEVELS)):
        kind = etree.QName(element).localname
        numbers[kind] += 1
        # as the reader numbers item groups, and removals above them
        if str(numbers[kind]) * (kind == "ItemGroupData") in places or f"{kind}!{numbers[kind]}" in places:
            subjects = [element, *element.iterancestors()]
            keys |= {s.get("SubjectKey") for s in subjects if etree.QName(s).localname == "SubjectData"}
    for subject in [s for s in tree.iter("{*}SubjectData") if s.get("SubjectKey") in keys]:
        for element in subject.iter():
            element.text = None
            element.attrib.clear()
        for element in list(subject.iter("{*}ItemGroupData")):
            for child in [c for c in element if c.tag != element.tag]:
                element.remove(child)
        subject.set("SubjectKey", "withdrawn")
    tree.write(str(target), xml_declaration=True, encoding="UTF-8")


def dicom(path: Path, specs: Specs, places: Collection[str], target: Path, ids: Collection[str] = ()) -> None:
    """DICOM: a file is one subject's."""
    if not places:
        target.write_bytes(path.read_bytes())


def workbook(path: Path, specs: Specs, places: Collection[str], target: Path, ids: Collection[str] = ()) -> None:
    """Workbook: rows lose their cells, sheets that no source reads all rows, and texts that nobody uses go."""
    if not zipfile.is_zipfile(path):
        _old_workbook(path, specs, places, target)
        return
    from lxml import etree

    with zipfile.ZipFile(path) as book, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as copy:
        names, used, parts = _sheet_names(book), set(), {}
        for part in (n for n in book.namelist() if SHEET.fullmatch(n)):
            sheet = etree.fromstring(book.read(part))
            _empty(sheet, names.get(part), {str(s["sheet"]) for s in specs}, places)
            used |= {int(c.findtext("{*}v")) for c in sheet.iter("{*}c") if c.get("t") == "s"}
            parts[part] = etree.tostring(sheet, xml_declaration=True, encoding="UTF-8", standalone=True)
        for info in book.infolist():
            content = parts.get(info.filename) or book.read(info)
            if info.filename == "xl/sharedStrings.xml":
                content = _only_used(content, used)
            if not REMARKS.fullmatch(info.filename):
                copy.writestr(info, content)


def _sheet_names(book: zipfile.ZipFile) -> dict[str, str]:
    """Part of the workbook -> name of the sheet."""
    from lxml import etree

    relations = etree.fromstring(book.read("xl/_rels/workbook.xml.rels"))
    parts = {r.get("Id"): r.get("Target", "").removeprefix("/xl/") for r in relations}
    return {
        f"xl/{parts[value]}": sheet.get("name", "")
        for sheet in etree.fromstring(book.read("xl/workbook.xml")).iter("{*}sheet")
        for key, value in sheet.attrib.items()
        if key.endswith("}id")
    }


def _empty(sheet: Any, name: str | None, read: Collection[str], places: Collection[str]) -> None:
    """Take the cells out of rows that go."""
    for number, row in enumerate(sheet.iter("{*}row"), 1):
        if name not in read or f"{name}!{row.get('r', number)}" in places:
            for cell in list(row):
                row.remove(cell)


def _only_used(content: bytes, used: Collection[int]) -> bytes:
    from lxml import etree

    strings = etree.fromstring(content)
    for number, entry in enumerate(strings):
        if number not in used:
            for child in list(entry):
                entry.remove(child)
            etree.SubElement(entry, f"{{{etree.QName(entry).namespace}}}t")
    return bytes(etree.tostring(strings, xml_declaration=True, encoding="UTF-8", standalone=True))


def _old_workbook(path: Path, specs: Specs, places: Collection[str], target: Path) -> None:
    """An .xls cannot be edited: the sheets that are read are written as a workbook of today, cell by cell as text."""
    import xlsxwriter
    from python_calamine import CalamineWorkbook

    from pipelines.readers.workbook import as_text

    with path.open("rb") as file, xlsxwriter.Workbook(str(target), {"strings_to_formulas": False}) as copy:
        book = CalamineWorkbook.from_filelike(file)
        for name in dict.fromkeys(str(s["sheet"]) for s in specs):
            sheet = copy.add_worksheet(name)
            for number, row in enumerate(book.get_sheet_by_name(name).to_python(skip_empty_area=False), 1):
                for column, cell in enumerate(row if f"{name}!{number}" not in places else ()):
                    sheet.write_string(number - 1, column, as_text(cell))


WRITERS = {"csv": lines, "fhir": ndjson, "odm": odm, "dicom": dicom, "xlsx": workbook}
