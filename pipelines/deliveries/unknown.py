"""What is not landed: what nothing names, with the number of its cells or rows, and what names a person."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pipelines.readers import odm, odm_words
from pipelines.readers.csv import broken_records, quoted
from pipelines.readers.read import NOT_READ

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb
    import pyarrow as pa

    from pipelines.deliveries.rows import Arrived, File
    from pipelines.mapping import Centre, Source

Note = tuple[str | None, ...]


def notes(
    con: "duckdb.DuckDBPyConnection",
    source: str,
    arrived: Sequence["Arrived"],
    columns: Sequence[str],
    is_person: Callable[[str], bool],
) -> list[Note]:
    """One note per column of a source; its value is the number of cells that hold something, never a text of them."""
    first = min(arrived, key=lambda a: a.file.source_file)
    place = first.file.source_file, first.header
    filled = _filled(con, arrived, [c for c in columns if not is_person(c)])
    agreed = ("structure/unknown_column", "a column that the mapping names")
    person = ("structure/identifier_column", "no column that the dictionary marks as an identifier")
    return [
        (rule, source, *place, c, None if is_person(c) else str(filled[c]), expected)
        for c in columns
        for rule, expected in [person if is_person(c) else agreed]
    ]


def item_groups(found: Mapping[str, tuple["Source", Sequence["File"]]], scratch: "Path") -> Iterator[Note]:
    """One note per ODM file and item group with rows that no source names, nor leaves out (`ignore`).

    `found`: the layout of each source and the files that it reads.
    """
    known = {group for layout, _ in found.values() for group in (*_groups(layout), *layout.ignore)}
    first = {file: name for name, (layout, files) in reversed(list(found.items())) if _groups(layout) for file in files}
    for file, name in first.items():
        for group, (n, row) in odm.filled_groups(file.path, scratch).items():
            if group not in known:
                yield NOT_READ, name, file.source_file, row, group, str(n), "an item group that the mapping names"


def code_words(centre: "Centre", found: Mapping[str, tuple["Source", Sequence["File"]]]) -> Iterator[Note]:
    """One note per source and ODM item of which a file's code list says otherwise than the mapping what codes mean: by
    our code's own words, or by words that the map has for the same."""
    words: dict[Path, dict[str, odm_words.Item]] = {}
    for name, (layout, files) in found.items():
        for column, meanings in sorted(_coded(centre, name).items()) if _groups(layout) else ():
            for file in files:
                if file.path not in words:
                    words[file.path] = odm_words.items(file.path)
                item = words[file.path].get(layout.raw(column), odm_words.Item("", {}))
                other = {
                    code: (word, " / ".join(sorted(meant)))
                    for code, word in item.codes.items()
                    if (meant := {v for m in meanings if (v := m.get(code)) and not _agree(word, v, m)})
                }
                if other:
                    said, taken = (", ".join(f"{code}: {two[i]}" for code, two in other.items()) for i in (0, 1))
                    yield "structure/code_meaning", name, file.source_file, "1", layout.raw(column), said, taken
                    break


def _coded(centre: "Centre", source: str) -> dict[str, list[Mapping[str, str | None]]]:
    """Column of a source -> what the mapping takes its codes for, by each field that reads it."""
    found: dict[str, list[Mapping[str, str | None]]] = {}
    for part in (part for parts in centre.tables.values() for part in parts):
        for f in part.fields:
            flags = {text: code for verb, code in (("yes", "Y"), ("no", "N")) for text in f.spec.get(verb, ())}
            for c in f.columns if f.map or flags else ():
                number, there = part.taken.get(c, (None, c))
                if source == (part.source if number is None else part.lookups[number]["source"]):
                    found.setdefault(there, []).append(f.map or flags)
    return found


def _agree(word: str, code: str, meanings: Mapping[str, str | None]) -> bool:
    plain = (re.sub(r"[\W_]+", "", text).casefold() for text in (word, code))
    return meanings.get(word) == code or len({*plain}) == 1


def _groups(layout: "Source") -> Sequence[str]:
    groups = layout.read.get("item_group", ())
    return [groups] if isinstance(groups, str) else groups


def _filled(con: "duckdb.DuckDBPyConnection", arrived: Sequence["Arrived"], columns: Sequence[str]) -> dict[str, int]:
    counts = {c: sum(a.not_taken.get(c, 0) for a in arrived) for c in columns}
    for a in (a for a in arrived if a.text is not None and columns):
        cells = ", ".join(f"count(nullif(trim({quoted(c)}), ''))" for c in columns)
        with broken_records():
            (found,) = con.execute(f"select {cells} from ({a.select(columns)})").fetchall()
        counts = {c: counts[c] + n for c, n in zip(columns, found, strict=True)}
    return counts


def n_filled(column: "pa.ChunkedArray") -> int:
    """How many cells of a column of text hold something."""
    import pyarrow.compute as pc

    return int(pc.sum(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(column)), 0)).as_py() or 0)
