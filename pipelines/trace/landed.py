"""The end of the way: the record in the hospital's file, its text as it came, and which cells became which values."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.centres import load
from pipelines.deliveries import ledger
from pipelines.deliveries.raw import cells, raw_rows
from pipelines.staging_fields import quote
from pipelines.trace.chain import Step
from pipelines.trace.rows import Row
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb

    from pipelines.mapping import Part, Source

Place = tuple[str, str, str, str]  # centre, delivery_id, source_file, source_row
FAILURES = "validated.rule_failures"
LINES = ("csv", "fhir")  # formats whose records begin with a line of the file


@dataclass(frozen=True)
class Record:
    """One record as its hospital sent it.

    `became`: column of ours -> the raw cells that it was read from. `changes`: what a transactional export said of the
    same record otherwise, file, row and cells in the order in which it came.
    """

    place: Place
    delivery: str
    received: str
    file_sha256: str
    archived: bool
    source: str
    mapping: str
    cells: Mapping[str, str]
    became: Mapping[str, Mapping[str, str]]
    line: str | None
    changes: tuple[tuple[str, str, Mapping[str, str]], ...]
    put_together: tuple[str, ...]


def records(con: "duckdb.DuckDBPyConnection", home: Home, steps: Iterable[Step]) -> dict[Row, Record]:
    """The record behind each step that stands for one or asks about one; without its landed file it is missing."""
    mine = {s.row: s for s in steps if s.recorded or s.row.table == FAILURES}
    at = {row: place_of(home, s.values) for row, s in mine.items()}
    found: dict[Row, Record] = {}
    landed = landed_at(con, home, at.values())
    deliveries = {d.delivery_id: d for d in ledger.read(home)}
    for row, step in mine.items():
        place = at[row]
        if place not in landed or place[1] not in deliveries:
            continue
        delivery = deliveries[place[1]]
        centre = load(study.ROOT / "centres" / place[0]).on(delivery.extract_date)
        parts = centre.tables.get(row.table.split(".")[1], ())
        read = {source: (sha, texts) for source, sha, texts in landed[place]}
        part = next((p for p in parts if p.source in read), None)
        source = part.source if part else next(iter(read))
        sha, texts = read[source]
        path = object_of(home, delivery, place[2])
        layout = _layout(centre.sources[source], place[2])
        changes = tuple(_transactions(con, home, place, source, layout, texts))
        found[row] = Record(
            place, delivery.name, delivery.received, sha, path is not None, source,
            f"centres/{centre.name}/centre.yaml", texts,
            dict(_became(part, layout, _after(layout, texts, changes), step.values)) if part else {},
            _line(path, layout, place[2], place[3]), changes,
            tuple(part.rollups[0]["by"]) if part and part.rollups else (),
        )  # fmt: skip
    return found


def place_of(home: Home, values: Mapping[str, Any]) -> Place:
    """Where a row says that it is; what names no delivery speaks of the one in force."""
    delivery_id = values["delivery_id"]
    if delivery_id is None and (newest := ledger.in_force(home, values["centre"])):
        delivery_id = newest.delivery_id
    return values["centre"], delivery_id or "", values["source_file"] or "", values["source_row"] or ""


def landed_at(
    con: "duckdb.DuckDBPyConnection", home: Home, places: Iterable[Place]
) -> dict[Place, list[tuple[str, str, dict[str, str]]]]:
    """What was landed from each place: source, sha256 of the file, and cells by raw column name."""
    rows = ", ".join(f"({', '.join(study.sql_literal(p) for p in place)})" for place in sorted(set(places)))
    con.execute(f"""
        create or replace temp table places as
        from (values {rows or "(null, null, null, null)"}) t(centre, delivery_id, source_file, source_row)
        where centre is not null
    """)
    raw_rows(con, home)
    found: dict[Place, list[tuple[str, str, dict[str, str]]]] = {}
    for *place, source, sha, raw in con.execute("""
        select centre, delivery_id, source_file, source_row, source, file_sha256, raw from temp.raw_rows order by all
    """).fetchall():  # fmt: skip
        found.setdefault((place[0], place[1], place[2], place[3]), []).append((source, sha, cells(raw)))
    return found


def object_of(home: Home, delivery: ledger.Delivery, source_file: str) -> Path | None:
    """The archived file that holds a source file, if it is there."""
    about = delivery.files.get(source_file) or delivery.files.get(source_file.split("!")[0])
    path = ledger.object_path(home, str(about["sha256"])) if about else None
    return path if path and path.exists() else None


def _layout(source: "Source", source_file: str) -> "Source":
    """The way in which a file of this name is read."""
    name = Path(source_file.split("!")[-1]).name
    ways = (source, *source.alternatives)
    return next((way for way in ways if any(fnmatch(name, pattern) for pattern in way.files)), source)


def _line(path: Path | None, source: "Source", source_file: str, source_row: str) -> str | None:
    """The line of a text file on which the record begins, as it stands in the archive."""
    if path is None or "!" in source_file or not source_row.isdigit() or source.read.get("format") not in LINES:
        return None
    with path.open(encoding=source.read.get("encoding", "utf-8"), errors="replace", newline="\n") as file:
        line = next((text for number, text in enumerate(file, 1) if number == int(source_row)), None)
    return line.rstrip("\r\n") if line is not None else None


def _transactions(
    con: "duckdb.DuckDBPyConnection", home: Home, place: Place, name: str, source: "Source", texts: Mapping[str, str]
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """The other rows of a transactional export about the record that stands in this place."""
    if not source.transactions or source.raw(source.transactions["type"]) not in texts:
        return
    path = study.sql_literal(str(home.landed / place[0] / place[1] / f"{name}.parquet"))
    there = {row[0] for row in con.execute(f"describe from {path}").fetchall()}
    same = " and ".join(
        f"coalesce(trim(l.{quote(c)}), '') = {study.sql_literal(texts.get(c, '').strip())}"
        for c in map(source.raw, source.transactions["by"])
        if c in there
    )
    for file, row, raw in con.execute(f"""
        select source_file, source_row, to_json(l)::varchar from read_parquet({path}, file_row_number = true) l
        where {same} order by file_row_number
    """).fetchall():
        if (file, row) != place[2:]:
            yield file, row, {c: text for c, text in cells(raw).items() if c != "file_row_number"}


def _after(
    source: "Source", texts: Mapping[str, str], changes: Iterable[tuple[str, str, Mapping[str, str]]]
) -> Mapping[str, str]:
    """The cells of a record as they hold after its changes; the row at its place is the last that touched it."""
    held: dict[str, str] = {}
    for _, _, stated in (*changes, ("", "", texts)):
        blank = stated.get(source.raw(source.transactions.get("nulls", "")), "").split()
        held = {c: text for c, text in {**held, **stated}.items() if c not in blank}
    return held


def _became(
    part: "Part", source: "Source", texts: Mapping[str, str], values: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, str]]]:
    """Each field of the mapping with the cells of this record that it reads."""
    blocks = list(_block_columns(part, texts, values))
    for f in part.fields:
        names = [source.raw(c) for c in f.columns]
        names += [column for column, field in blocks if field in f.columns]
        names += [c for c in part.unpivot.get("columns", ()) if part.unpivot.get("value") in f.columns]
        if read := {name: texts[name] for name in names if name in texts}:
            yield f.name, read


def _block_columns(part: "Part", texts: Mapping[str, str], values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The columns of the block that this row was made of, each with the word that the fields know it by."""
    if "blocks" not in part.unpivot:
        return
    pattern = re.compile(part.unpivot["blocks"])
    default = part.unpivot.get("default", {})
    held = {f.columns[0]: str(values.get(f.name)) for f in part.fields if len(f.columns) == 1}
    for column in texts:
        if match := pattern.fullmatch(column):
            groups = {g: text if text is not None else default.get(g) for g, text in match.groupdict().items()}
            field = str(groups.pop("field", ""))
            if all(g not in held or held[g] == text for g, text in groups.items()):
                yield column, field
