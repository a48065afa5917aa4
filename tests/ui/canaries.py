"""Marks planted in deliveries, each once: what a patient's value would be, and must not be seen elsewhere."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

WORD = "Kanarie"
REFUSED = "Last_Name"  # a word in this column is taken for a person's name and rejects the delivery
DATES = {
    "%Y-%m-%d": r"\d{4}-\d\d-\d\d", "%d/%m/%Y": r"\d\d/\d\d/\d{4}", "%d.%m.%Y": r"\d\d\.\d\d\.\d{4}",
    "%Y%m%d": r"(19|20)\d{6}",
}  # fmt: skip


@dataclass
class Flock:
    """Replaces the first filled cell of each field: by a word, or by another value of the same shape."""

    words: bool
    made: list[str] = field(default_factory=list)
    done: set[tuple[str, ...]] = field(default_factory=set)

    def plant(self, place: tuple[str, ...], old: Any, comma: bool = False) -> Any:
        """What stands in the cell from now on: the old value where this field has its canary, or no shape to copy."""
        if place in self.done or old is None or not str(old).strip():
            return old
        new = f"{WORD}{len(self.made):04}" if self.words else self._value(old, comma)
        if new is None:
            return old
        self.done.add(place)
        self.made.append(new.date().isoformat() if isinstance(new, datetime) else str(new))
        return new

    def _value(self, old: Any, comma: bool) -> Any:
        n = len(self.made)
        day = datetime(2014, 1, 1) + timedelta(n % 730)
        if isinstance(old, datetime | date):
            return day
        for form, shape in DATES.items():
            if re.fullmatch(shape, str(old)):
                return day.strftime(form)
        # no time that a step takes, and no count
        number = f"{4000 + n}.{101 + n % 890}"
        if isinstance(old, int | float) and not isinstance(old, bool):
            return float(number)
        return number.replace(".", "," if comma else ".") if re.fullmatch(r"\d{1,3}([.,]\d+)?", str(old)) else None


def plant_all(source: Path, target: Path, flock: Flock) -> None:
    """Write a centre's sample with canaries in it; a data dictionary is about no patient and stays."""
    kinds: dict[str, Callable[[bytes, str, Flock], bytes]] = {
        ".csv": _csv, ".tsv": _csv, ".xlsx": _xlsx, ".xml": _odm, ".ndjson": _fhir, ".dcm": _dicom,
    }  # fmt: skip
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        copy.write_bytes(content if "Dictionary" in path.name else kinds[path.suffix](content, path.name, flock))


def _from_the_middle(rows: list[Any]) -> list[Any]:
    """At the ends stand phantoms, totals and signatures, which are no records."""
    return rows[len(rows) // 2 :] + rows[: len(rows) // 2]


def _csv(content: bytes, name: str, flock: Flock) -> bytes:
    text = content.decode("latin-1")
    delimiter = max(";,\t", key=text.count)
    rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    head = next(i for i, row in enumerate(rows) if len(row) == max(map(len, rows)))
    comma = delimiter != "," and re.search(r"\d,\d", text) is not None
    for row in _from_the_middle(rows[head + 1 :]):
        row[:] = [flock.plant((name, str(i)), cell, comma) for i, cell in enumerate(row)]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter, lineterminator="\r\n" if "\r\n" in text else "\n").writerows(rows)
    return out.getvalue().encode("latin-1")


def _xlsx(content: bytes, name: str, flock: Flock) -> bytes:
    import openpyxl

    book = openpyxl.load_workbook(io.BytesIO(content))
    for sheet in book:
        rows = list(sheet.iter_rows())
        head = next((i for i, row in enumerate(rows) if sum(c.value is not None for c in row) > 2), 0)
        named = {cell.column for cell in rows[head] if cell.value == REFUSED} if rows else set()
        for row in _from_the_middle(rows[head + 1 :]):
            for cell in row:
                if cell.column not in named and type(cell).__name__ == "Cell" and not str(cell.value).startswith("="):
                    cell.value = flock.plant((name, sheet.title, cell.column_letter), cell.value)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _odm(content: bytes, name: str, flock: Flock) -> bytes:
    def planted(found: re.Match[str]) -> str:
        return f'{found[1]}"{flock.plant((name, found[2]), found[3])}"'

    items = r'(<ItemData ItemOID="([^"]+)"(?: [A-Z]\w+="[^"]*")*? Value=)"([^"]*)"'
    return re.sub(items, planted, content.decode()).encode()


def _fhir(content: bytes, name: str, flock: Flock) -> bytes:
    def walk(node: Any, place: tuple[str, ...]) -> Any:
        if isinstance(node, dict):
            return {k: v if k == "resourceType" else walk(v, (*place, k)) for k, v in node.items()}
        if isinstance(node, list):
            return [walk(v, place) for v in node]
        return node if isinstance(node, bool) else flock.plant((name, *place), node)

    lines = (
        json.dumps(walk(json.loads(line), ()), ensure_ascii=False) for line in content.decode().splitlines() if line
    )
    return ("\n".join(lines) + "\n").encode()


def _dicom(content: bytes, name: str, flock: Flock) -> bytes:
    import pydicom

    data = pydicom.dcmread(io.BytesIO(content), force=True)
    for element in data.iterall():
        shape = {"DS": "1.5", "DA": "20140101"}.get(element.VR) if not flock.words else None
        text = flock.words and element.VR in ("LO", "SH", "ST", "LT", "UT", "PN")
        if (shape or text) and element.VM == 1 and element.value not in (None, ""):
            element.value = flock.plant((name[:2], element.keyword), shape or str(element.value))
    out = io.BytesIO()
    data.save_as(out)
    return out.getvalue()


def seen(made: set[str], text: str) -> Iterator[str]:
    """The canaries that stand in a text, words in any case and cut short, values as they were written."""
    found = re.findall(rf"{WORD}\d*", text, re.IGNORECASE)
    yield from found
    tokens = set(re.findall(r"\d[\d.,/-]*\d", text))
    iso = {t for t in made if re.fullmatch(DATES["%Y-%m-%d"], t)}
    yield from sorted((tokens & made) | {day for day in iso if day in text})
