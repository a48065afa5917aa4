"""Text tables and workbooks of a sample export looked at: encoding, delimiter and header are detected."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import UnreadableFile, UsageError
from pipelines.profile import two_rows
from pipelines.profile.header import header_row, is_row_of_values, same_names
from pipelines.profile.seen import ROW, Seen, glob_of, source_of, words
from pipelines.readers.read import read

if TYPE_CHECKING:
    import pyarrow as pa

DELIMITERS = (";", "\t", ",", "|")
LOOKED_AT = 200  # lines or rows that tell how wide a table is
HEADER_WITHIN = 20  # lines or rows in which its header is looked for
NAMES = "Put one row with the names of its columns above its rows, or export it again with them."


def look(path: Path) -> tuple[list[Seen], list[str]]:
    """Every table of one file, and its sheets that are none. Raises `UsageError`, which says why it cannot be read."""
    head = path.open("rb").read(512)
    try:
        if not head.strip():
            raise UsageError(f"{path.name}: the file is empty. Export it again.")
        if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
            return _workbook(path)
        return [_text(path)], []
    except UnreadableFile as error:
        raise UsageError("\n".join(f"{path.name}: {p}" for p in error.problems)) from error


def _text(path: Path) -> Seen:
    data = path.read_bytes()
    encoding = _encoding(path, data)
    text = data.decode(encoding)
    lines = text.splitlines()[:LOOKED_AT]
    delimiter, width = _delimiter(lines)
    if width < 2:
        raise UsageError(f"{path.name}: no delimiter (; tab , |) cuts its lines into columns. Is it a table?")
    records = list(csv.reader(lines, delimiter=delimiter))
    at = header_row(records[:HEADER_WITHIN], width)
    if at is None or len(records[at]) != width:
        same = same_names(records[:HEADER_WITHIN], width)
        twice = f"columns {', '.join(map(str, same))} have one name; each needs a name of its own"
        raise UsageError(f"{path.name}: {twice if same else f'no line holds the names of {width} columns'}. {NAMES}")
    spec: dict[str, Any] = {"format": "csv", "encoding": encoding, "delimiter": delimiter}
    if at:
        spec["header"] = {"find": records[at][:2], "within": at + 5}
    shown = {"\t": "tab"}.get(delimiter, delimiter)
    why = [f"its bytes are {encoding}", f"{shown!r} cuts its lines into {width} columns", f"header in line {at + 1}"]
    newline = "\r\n" if b"\r\n" in data else "\n"
    seen = _seen(path, path.stem, spec, why, at, newline)
    if is_row_of_values(seen.names, seen.rows):
        raise UsageError(f"{path.name}: line {at + 1} looks like a row of values. {NAMES}")
    return seen


def _encoding(path: Path, data: bytes) -> str:
    if data.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\0" in data:
        raise UsageError(f"{path.name}: neither text nor a workbook (NUL bytes). Export it again.")
    for encoding in ("utf-8", "cp1252"):
        try:
            data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    raise UsageError(f"{path.name}: text neither in UTF-8, UTF-16 nor Windows-1252. Export it again as UTF-8.")


def _delimiter(lines: Sequence[str]) -> tuple[str, int]:
    """The delimiter that cuts most lines into the same number of columns, and that number."""
    found = []
    for delimiter in DELIMITERS:
        widths = Counter(len(cells) for cells in csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter))
        width, n = max(widths.items(), key=lambda item: (item[1] * (item[0] - 1), item[0]))
        found.append((n * (width - 1), delimiter, width))
    _, delimiter, width = max(found, key=lambda each: each[0])
    return delimiter, width


def _workbook(path: Path) -> tuple[list[Seen], list[str]]:
    from pipelines.readers import xlsx

    book = xlsx.workbook(path)
    found: list[Seen] = []
    skipped: list[str] = []
    for sheet in book.sheets:
        if sheet in book.hidden:
            continue
        batch = next(iter(book.batches(sheet)), None)
        if batch is None or not len(batch):
            continue
        columns = [batch[c].to_pylist()[:LOOKED_AT] for c in batch.column_names if c.isdigit()]
        rows = list(zip(*columns, strict=True))
        numbers = batch["row"].to_pylist()[:LOOKED_AT]
        header = _header(rows, numbers)
        if header is None:
            skipped.append(f"{path.name}, sheet {sheet!r}")
            continue
        at, find, n_rows = header
        place: dict[str, Any] = {"find": find, "within": at + 5}
        place |= {"rows": n_rows, "join": two_rows.JOIN} if n_rows > 1 else {}
        spec = {"format": "xlsx", "sheet": sheet, "header": place}
        why = [f"a workbook's sheet; header in row {numbers[at]}"]
        why += ["merged cells stand above its names: two rows are joined"] if n_rows > 1 else []
        seen = _seen(path, sheet if len(book.sheets) > 1 else path.stem, spec, why, at, "")
        if is_row_of_values(seen.names, seen.rows):
            skipped.append(f"{path.name}, sheet {sheet!r}")
        else:
            found += two_rows.unpivoted(seen) if n_rows > 1 else [seen]
    if not found:
        raise UsageError(f"{path.name}: no visible sheet has one. {NAMES}")
    return found, skipped


def _header(rows: Sequence[Sequence[str | None]], numbers: Sequence[int]) -> tuple[int, list[str], int] | None:
    """Where a sheet's header stands, two texts by which it is found, and how many rows it has."""
    above = rows[:HEADER_WITHIN]
    if two := two_rows.header_of_two(above, numbers):
        at, names = two
        # one of the lower row, so that a title above is not taken for the upper one
        lower = next(n.partition(two_rows.JOIN)[2] for n in names if two_rows.JOIN in n)
        return at, [next(n for n in names if n).partition(two_rows.JOIN)[0], lower], 2
    trimmed = [_trimmed(row) for row in above]
    one = header_row(trimmed, max(len(_trimmed(row)) for row in rows))
    return None if one is None else (one, [str(n).strip() for n in trimmed[one]][:2], 1)


def _trimmed(row: Sequence[str | None]) -> list[str | None]:
    """A row without the blank cells at its end."""
    filled = [i for i, cell in enumerate(row) if cell and cell.strip()]
    return list(row[: filled[-1] + 1]) if filled else []


def _seen(path: Path, name: str, spec: Mapping[str, Any], why: list[str], preamble: int, newline: str) -> Seen:
    """Read as a mapping would read it, so that what is guessed is what lands; the footer is cut off."""
    rows = read([(path.name, path)], spec)
    names = tuple(c for c in rows.column_names if c not in ROW)
    n_kept, footer, word, totals = _footer(rows, names)
    if footer or totals:
        why = [*why, "a footer below the rows"]
    return Seen(
        source_of(name), path.name, spec, why, names, rows.slice(0, n_kept), preamble, newline, footer, word,
        [glob_of(path.name)], totals=totals,
    )  # fmt: skip


def _footer(rows: "pa.Table", names: Sequence[str]) -> tuple[int, Mapping[str, Any] | None, str, Mapping[str, Any]]:
    """How many rows come before the footer, what finds it and its word, and what finds totals among the rows.

    No condition holds a text but a known word.
    """
    last = rows.slice(max(0, len(rows) - 5)).select(list(names)).to_pylist()
    start = len(rows)
    for row in reversed(last):
        if sum(1 for v in row.values() if v) > min(2, len(names) - 2):
            break
        start -= 1
    if start == len(rows) or not start:
        return len(rows), None, "", {}
    first = [text or "" for text in rows[names[0]].to_pylist()]
    totals: dict[str, Any] = {}
    for text in first[start:]:
        word = next((text[: len(w)] for w in words()["footers"] if text.lower().startswith(w.lower())), "")
        condition = {names[0]: {"matches": f"^{word}"}}
        if word and any(t.startswith(word) for t in first[:start]):
            totals = condition  # a total of a part: rows follow it
        elif word:
            return start, condition, word, totals
    full = next((n for n in names[1:] if rows[n].slice(0, start).null_count == 0), names[1])
    return start, None if totals else {full: {"blank": True}}, "" if totals else "-", totals
