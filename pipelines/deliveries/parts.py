"""A folder may hold an export and, beside it, the list of queries that comes back: two deliveries of one name."""

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.deliveries import ledger
from pipelines.deliveries.ledger import Delivery
from pipelines.deliveries.manifest import NAME
from pipelines.warehouse import Home

# the list that we sent, in whichever folder, also as a browser, Windows or a person names its copy
COPY = r"(copia|copy|\(?[0-9]++\)?)"
LIST = re.compile(rf"(.*[/!])?({COPY} )*((di|of) )?queries([ _-]*{COPY})*\.(csv|xlsx)", re.IGNORECASE)
# what no reply can do without: the columns that tell a list under any other name
COLUMNS, SHEET = ("query_id", "site_reply"), "queries"
WITHIN, HEAD = 5, 1 << 16  # lines and bytes, at the beginning of a file, that hold its header
Files = Mapping[str, Mapping[str, Any]]


def is_list(name: str) -> bool:
    return LIST.fullmatch(name) is not None


def is_renamed_list(name: str, path: Path) -> bool:
    """Whether a file whose name does not tell it is a list all the same: by its header, of a workbook by its sheet."""
    kind = Path(name).suffix.lower()
    if is_list(name) or kind not in (".csv", ".xlsx"):
        return False
    if kind == ".csv":
        with path.open("rb") as file:
            return any(map(_has_columns, file.read(HEAD).splitlines()[:WITHIN]))
    try:
        with zipfile.ZipFile(path) as book:
            sheets, texts = (_head(book, member) for member in ("xl/workbook.xml", "xl/sharedStrings.xml"))
        return f'name="{SHEET}"'.encode() in sheets and _has_columns(texts)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, KeyError):
        return False  # what it is instead its reader says


def _head(book: zipfile.ZipFile, member: str) -> bytes:
    with book.open(member) as file:
        return file.read(HEAD)


def _has_columns(text: bytes) -> bool:
    return all(re.search(rb"\b" + column.encode() + rb"\b", text) for column in COLUMNS)


def _lists(files: Files) -> set[str]:
    return {name for name, about in files.items() if is_list(name) or about.get("list")}


def kinds(files: Files) -> list[set[str]]:
    """The names of the files of an export and those of an answer, whose manifest stays with the export."""
    lists = _lists(files)
    return [set(files) - lists, lists] if lists and set(files) - lists - {NAME} else [set(files)]


def is_answer(delivery: Delivery) -> bool:
    if delivery.state == "answer":
        return True  # also where nothing is left of it
    names = {*delivery.files, *delivery.erased} - {NAME}
    return bool(names) and names <= _lists({**{name: {} for name in delivery.erased}, **delivery.files})


def lying(came: Iterable[Delivery]) -> Iterator[Files]:
    """What lies in a folder after each of the deliveries that came under its name: the last export, the last answer."""
    last: dict[bool, Delivery] = {}
    for delivery in came:
        last[is_answer(delivery)] = delivery
        yield {name: about for each in last.values() for name, about in each.files.items()}


def beside(home: Home, delivery: Delivery) -> list[Delivery]:
    """The last answer in the folder of an export, or the other way round; none where only one of them came."""
    came = ledger.by_place(home).get((delivery.centre, delivery.name), [])
    return [d for d in came if is_answer(d) != is_answer(delivery)][-1:]
