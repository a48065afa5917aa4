"""What the values of an xlsx workbook do not tell, found in its XML before anything opens it."""

import datetime
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import unescape
from posixpath import normpath
from typing import Any

MOST_UNZIPPED = 512 << 20
CHUNK = 1 << 20
LONGEST_ROW = 64 << 20
PROLOG = 1 << 16
COMPLETE = "a workbook that is complete"
MOST_ROWS, MOST_COLUMNS = 1_048_576, 16_384
WITHIN = "cells between A1 and XFD1048576"
ROW = re.compile(rb"<(?:\w+:)?row(?=[\s/>])([^>]*)>")
CELL = re.compile(rb"<(?:\w+:)?c(?=[\s>])([^>]*)(?<!/)>(.*?)</(?:\w+:)?c>", re.DOTALL)
PLACE = re.compile(rb"""\sr\s*=\s*["']([A-Z]{1,3})([0-9]{1,7})["']""")
NUMBER = re.compile(rb"""\sr\s*=\s*["']([0-9]{1,7})["']""")
# a row or a cell that says where it stands in other words than those above: what opens it may still understand them
ELSEWHERE = re.compile(
    rb"""<(?:\w+:)?(?:row|c)(?=\s)(?:[^<>"'r]++|"[^<"]*+"|'[^<']*+'|(?<!\s)r|r(?!\s*=))*+r\s*+=\s*+"""
    rb"""(?!["'][A-Z]{0,3}[0-9]{1,7}["'])"""
)
HIDDEN = re.compile(rb"""\shidden=["'](?:1|true)["']""")
ERROR = re.compile(rb"""\st=["']e["']""")
TEXT = re.compile(rb"""\st=["']str["']""")
VALUE = re.compile(rb"<(?:\w+:)?v(?=[\s/>])[^>]*?(?:/>|>([^<]*)<)")
STYLE = re.compile(rb"""\ss=["']([0-9]+)["']""")
TYPE = re.compile(rb"""\st=["'](?!n["'])""")
# what a number format holds besides its codes: literals, colours and conditions, room; and what follows its first part
NO_CODE = re.compile(r""""[^"]*"|\[[^\]]*\]|\\.|_.|\*.|;.*""")
MONTH_YEAR = "17"  # mmm-yy, which every workbook has without saying so
# a year typed into a cell of dates is a day of 1905 to the spreadsheet; below 61 its numbers are not those of days
EPOCH, NO_DAYS = datetime.date(1899, 12, 30), range(61, 2101)
FORMULA = re.compile(rb"<(?:\w+:)?f(?=[\s/>])[^>]*?(?:/>|>([^<]*)<)")


class Refused(Exception):
    """What was expected of a workbook that is not to be opened."""


@dataclass
class Marks:
    """What the cells' values do not tell of a sheet: its extent, hidden rows, and the text of cells that lack a value.

    Rows and columns count from 1. `texts`: row -> column -> the error (`#N/A`), the formula (`=B2/10`), or the
    month (`03/2014`) or year in the cell.
    """

    width: int = 0
    last_row: int = 0
    hidden: set[int] = field(default_factory=set)
    texts: dict[int, dict[int, str]] = field(default_factory=dict)
    # number of a style of cells -> how the month, or the year, of its dates is written: it shows no day
    dayless: Mapping[bytes, str] = field(default_factory=dict)


def column_number(letters: bytes) -> int:
    """1 for A, 27 for AA."""
    return sum((c - 64) * 26**i for i, c in enumerate(reversed(letters)))


def marks_of_zip(book: zipfile.ZipFile) -> dict[str, Marks]:
    """Sheet -> its marks, none of them in memory as a whole; raises `Refused` for what must not be opened."""
    entries = {entry.filename.lower(): entry for entry in book.infolist()}
    if sum(entry.file_size for entry in book.infolist()) > MOST_UNZIPPED:
        raise Refused(f"a workbook of at most {MOST_UNZIPPED >> 20} MB unzipped")
    if any(entry.flag_bits & 1 for entry in entries.values()):
        raise Refused("a workbook without a password")
    if any(name.endswith("vbaproject.bin") for name in entries):
        raise Refused("a workbook without macros")
    for name, entry in entries.items():
        if name.endswith((".xml", ".rels")):
            with book.open(entry) as xml:
                _refuse_doctype(xml.read(PROLOG))
    found, dayless = {}, _dayless(book, entries)
    for name, member in _sheet_members(book, entries).items():
        with book.open(entries[member]) as xml:
            found[name] = _marks(xml, dayless)
    return found


def _refuse_doctype(xml: bytes) -> None:
    if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
        raise Refused("XML without a document type (DOCTYPE)")


def _sheet_members(book: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> dict[str, str]:
    """Sheet -> its member of the archive, in lower case; sheets of another kind than cells have none."""
    from xml.etree import ElementTree

    try:
        relations = ElementTree.fromstring(book.read(entries["xl/_rels/workbook.xml.rels"]))
        about = ElementTree.fromstring(book.read(entries["xl/workbook.xml"]))
    except ElementTree.ParseError:
        raise Refused(COMPLETE) from None
    targets = {r.get("Id"): r.get("Target", "") for r in relations if r.get("Type", "").endswith("/worksheet")}
    sheets = {}
    for element in about.iter():
        tag = element.tag.rpartition("}")[2]
        if tag == "workbookPr" and element.get("date1904") in ("1", "true"):
            raise Refused("a workbook that counts days from 1900")
        if tag == "sheet":
            target = targets.get(next((v for k, v in element.attrib.items() if k.endswith("}id")), None))
            if target is not None:
                inside = target.lstrip("/") if target.startswith(("/", "xl/")) else f"xl/{target}"
                sheets[element.get("name", "")] = normpath(inside).lower()
    return sheets


def _dayless(book: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]) -> dict[bytes, str]:
    """The styles whose dates show month and year, or the year alone: who typed 03/2014 knew no day."""
    from xml.etree import ElementTree

    if "xl/styles.xml" not in entries:
        return {}
    try:
        root = ElementTree.fromstring(book.read(entries["xl/styles.xml"]))
    except ElementTree.ParseError:
        raise Refused(COMPLETE) from None
    codes = {e.get("numFmtId", ""): e.get("formatCode", "") for e in root.iterfind("{*}numFmts/{*}numFmt")}
    forms = dayless_forms(codes, (style.get("numFmtId", "") for style in root.iterfind("{*}cellXfs/{*}xf")))
    return {str(i).encode(): form for i, form in forms.items()}


def dayless_forms(codes: Mapping[str, str], styles: Iterable[str]) -> dict[int, str]:
    """Place among the styles, which name one of the number formats -> how its dates are written, where these show no
    day."""
    found, codes = {}, {MONTH_YEAR: "mmm-yy", **codes}
    for i, style in enumerate(styles):
        code = NO_CODE.sub("", codes.get(style, "")).lower()
        if "y" in code and not set(code) & set("dhs"):
            found[i] = "%m/%Y" if "m" in code else "%Y"
    return found


def _marks(xml: Any, dayless: Mapping[bytes, str]) -> Marks:
    """Scan one sheet's XML, a row or more at a time."""
    marks, block = Marks(dayless=dayless), b""
    while chunk := xml.read(CHUNK):
        block += chunk
        cut = block.rfind(b"row>") + len(b"row>")
        if cut >= len(b"row>"):
            _scan(block[:cut], marks)
            block = block[cut:]
        elif len(block) > LONGEST_ROW:
            raise Refused("rows that fit into memory")
    _scan(block, marks)
    return marks


def _scan(block: bytes, marks: Marks) -> None:
    _refuse_doctype(block)
    if ELSEWHERE.search(block):
        raise Refused(WITHIN)
    for match in ROW.finditer(block):
        number = NUMBER.search(match[1])
        marks.last_row = int(number[1]) if number else marks.last_row + 1
        if HIDDEN.search(match[1]):
            marks.hidden.add(marks.last_row)
    places = PLACE.findall(block)
    if places:
        marks.width = max(marks.width, *(column_number(letters) for letters in {letters for letters, _ in places}))
        marks.last_row = max(marks.last_row, *map(int, {number for _, number in places}))
    if marks.last_row > MOST_ROWS or marks.width > MOST_COLUMNS:
        raise Refused(WITHIN)
    if marks.dayless or b'"e"' in block or b"'e'" in block or FORMULA.search(block):
        for match in CELL.finditer(block):
            text = _without_value(match[1], match[2]) or _without_day(match[1], match[2], marks.dayless)
            if text is not None:
                place = PLACE.search(match[1])
                if not place:
                    raise Refused("cells that say where they stand")
                marks.texts.setdefault(int(place[2]), {})[column_number(place[1])] = text


def _without_value(attributes: bytes, content: bytes) -> str | None:
    """The error in a cell, or the formula of one whose result was never calculated; both would read as blank."""
    value, formula = VALUE.search(content), FORMULA.search(content)
    if ERROR.search(attributes):
        return _plain(value[1] if value else None) or "#?"
    if formula and not (value and (value[1] or TEXT.search(attributes))):
        return "=" + _plain(formula[1])
    return None


def _plain(xml: bytes | None) -> str:
    return unescape((xml or b"").decode("utf-8", "replace"))


def _without_day(attributes: bytes, content: bytes, dayless_styles: Mapping[bytes, str]) -> str | None:
    """The month or year of a date that shows no more than these; None for all other cells."""
    style, value = STYLE.search(attributes), VALUE.search(content)
    if not (style and style[1] in dayless_styles and value and value[1]) or TYPE.search(attributes):
        return None
    return dayless(value[1], dayless_styles[style[1]])


def dayless(number: bytes | float, form: str) -> str | None:
    """A workbook's number of a day as it is shown; None where it is a year that was typed, or no day at all."""
    try:
        day = EPOCH + datetime.timedelta(int(float(number)))
    except (ValueError, OverflowError):
        return None
    return None if day < EPOCH + datetime.timedelta(NO_DAYS.stop) else day.strftime(form)
