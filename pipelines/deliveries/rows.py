"""The files of one source become one Parquet file: checked column by column, all text, in the order they came."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.deliveries import identifiers, tables, unknown
from pipelines.deliveries.columns import guard_numbers, guarded_values, missing_keys
from pipelines.errors import Problem, UnreadableFile
from pipelines.readers.csv import UNNAMED, Text, broken_records, quoted, ready
from pipelines.readers.read import MOST_PROBLEMS
from pipelines.study import sql_literal

if TYPE_CHECKING:
    import duckdb

    from pipelines.mapping import Centre, Source

# small row groups, because a wide one does not fit into the memory of a centre and would go by way of the disk
PARQUET = "(format parquet, compression snappy, write_bloom_filter false, row_group_size 20480)"


@dataclass(frozen=True)
class File:
    """One file of a delivery: its name inside the delivery, where its bytes lie, the sha256 that was received, and,
    where it came with an earlier delivery than the one that is landed, that one's id."""

    source_file: str
    path: Path
    sha256: str
    delivery_id: str | None = None


@dataclass
class Landing:
    """What is gathered while the sources of one delivery are read."""

    con: "duckdb.DuckDBPyConnection"
    out: Path
    scratch: Path
    delivery_id: str
    problems: list[Problem] = field(default_factory=list)
    notes: list[tuple[str | None, ...]] = field(default_factory=list)
    missing: dict[tuple[str, ...], str] = field(default_factory=dict)
    received: list[tuple[str | None, str, str, int | None, str]] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    n_rows: int = 0


@dataclass(frozen=True)
class Arrived:
    """One file's rows: its column names, the row in which they stand, and SQL that gives `source_row` and the columns
    asked for, in file order."""

    file: File
    names: Sequence[str]
    select: Callable[[Sequence[str]], str]
    header: str
    text: Text | None = None
    not_taken: Mapping[str, int] = field(default_factory=dict)
    gathered: tables.Gathered | None = None


def land_rows(landing: Landing, centre: "Centre", name: str, source: "Source", files: Sequence[File]) -> None:
    """Check the columns of one source and land those that the mapping names.

    Output grain: one row per row of the files: delivery_id, file_sha256, source_file, source_row and the columns.
    Problems go to `landing.problems`, columns that nothing names to `landing.notes`; broken files land nothing.
    """
    known, arrived = centre.columns(name), []
    is_person = identifiers.declared(landing.con, landing.out, source)
    try:
        guards = {source.raw(c) for c in source.guard}
        arrived = list(
            _arrive(landing, name, source, files, lambda c: c in guards or (c in known and not is_person(c)))
        )
        guarded = [p for a in arrived for p in guarded_values(landing.con, source, a)]
        arrived = [_numbered(a, guard_numbers(source)) for a in arrived]
        columns = list(dict.fromkeys(c for a in arrived for c in a.names if _is_there(landing.con, a, c, known)))
        named = [c for c in columns if c in known and not is_person(c)]
        target = landing.out / f"{name}.parquet"
        counts = _write(landing, arrived, named, target)
    except UnreadableFile as error:
        landing.problems += error.problems
        return
    found = missing_keys(landing.con, source, named, [a.file.source_file for a in arrived], target) + guarded
    landing.con.execute(f"create or replace temp view landed as from read_parquet({sql_literal(str(target))})")
    found += identifiers.find(landing.con, "landed", named)
    found += identifiers.unread(_hits(landing.con, arrived, {*named, *guards}), source.ignore, is_person)
    landing.problems += found
    harmless = {*named, *source.ignore, *guards}
    landing.notes += unknown.notes(landing.con, name, arrived, [c for c in columns if c not in harmless], is_person)
    landing.received += [
        (name, a.file.source_file, a.file.sha256, n, a.header)
        for a, n in zip(arrived, counts, strict=True)
        if not a.file.delivery_id
    ]
    landing.n_rows += sum(counts)


def _numbered(arrived: Arrived, numbers: Mapping[str, tuple[str, str]]) -> Arrived:
    """The file with its guards' numbers as columns, where rows are dropped by them: what names a person never lands."""
    if not numbers:
        return arrived
    there = {name: (raw, sql) for name, (raw, sql) in numbers.items() if raw in arrived.names}
    if arrived.gathered:
        arrived.gathered.made |= {name: sql for name, (_, sql) in there.items()}

    def select(columns: Sequence[str]) -> str:
        made = {c: there[c][1] if c in there else "null::varchar" for c in columns if c in numbers}
        cells = "".join(f", {made.get(c, quoted(c))} as {quoted(c)}" for c in columns)
        read = [c for c in columns if c not in numbers] + [there[c][0] for c in made if c in there]
        return f"select source_row{cells} from ({arrived.select(list(dict.fromkeys(read)))})"

    return replace(arrived, names=[*arrived.names, *numbers], select=arrived.select if arrived.gathered else select)


def _hits(con: "duckdb.DuckDBPyConnection", arrived: Sequence[Arrived], read: set[str]) -> list[identifiers.Hit]:
    """What looks like an identifier in the columns of the files that are not read."""
    if gathered := arrived[0].gathered:
        return [(arrived[int(hit[0])].file.source_file, *hit[1:]) for hit in gathered.hits]
    hits = []
    for a in arrived:
        rest = [c for c in a.names if c not in read]
        rows = f"select {sql_literal(a.file.source_file)} as source_file, * from ({a.select(rest)})"
        with broken_records():
            hits += identifiers.in_unread(con, rows, rest)
    return hits


def _arrive(
    landing: Landing, name: str, source: "Source", files: Sequence[File], wanted: Callable[[str], bool]
) -> Iterator[Arrived]:
    """Every file made readable for DuckDB: text where it lies, other formats by way of a table of their own."""
    if source.read["format"] != "csv":
        yield from _tables(landing, name, source, files, wanted)
        return
    problems = []
    for number, file in enumerate(files):
        try:
            text = ready(file.path, source.read, landing.scratch / f"{len(landing.used)}-{number}.csv")
            yield Arrived(file, text.names, text.select, str(text.header_lines), text)
        except UnreadableFile as error:
            problems += [replace(p, source_file=file.source_file) for p in error.problems[:MOST_PROBLEMS]]
    if problems:
        raise UnreadableFile(problems)


def _tables(
    landing: Landing, name: str, source: "Source", files: Sequence[File], wanted: Callable[[str], bool]
) -> Iterator[Arrived]:
    """Rows of formats that need a reader of their own, gathered in one table."""
    # a file with many sources is parsed once, into the scratch folder
    spec = {**source.read, "scratch": landing.scratch}
    found = tables.gather(landing.con, [(f.source_file, f.path) for f in files], spec, wanted)
    landing.notes += [(rule, name, files[number].source_file, *about) for number, (rule, *about) in found.notes]
    for number, (file, names) in enumerate(zip(files, found.names, strict=True)):
        # what was not taken was counted over all files
        not_taken = found.not_taken if number == 0 else {}
        yield Arrived(file, names, found.select(number), found.headers.get(number, "1"), None, not_taken, found)


def _is_there(con: "duckdb.DuckDBPyConnection", arrived: Arrived, column: str, known: object) -> bool:
    """A delimiter at the end of every line makes a column without name and content, which is none."""
    if arrived.text is None or not UNNAMED.fullmatch(column):
        return True
    with broken_records():
        ((n,),) = con.execute(f"select count({quoted(column)}) from ({arrived.select([column])})").fetchall()
    return bool(n)


def _write(landing: Landing, arrived: Sequence[Arrived], named: Sequence[str], target: Path) -> list[int]:
    """One Parquet file of all rows; returns the number of rows of each file."""
    if found := arrived[0].gathered:
        about = [(a.file.delivery_id or landing.delivery_id, a.file.sha256, a.file.source_file) for a in arrived]
        return tables.write(found, about, named, target, PARQUET)
    drafts = [target] if len(arrived) == 1 else [landing.scratch / f"{target.stem}-{i}" for i in range(len(arrived))]
    counts, problems = [], []
    for a, draft in zip(arrived, drafts, strict=True):
        try:
            counts.append(_write_one(landing, a, named, draft))
        except UnreadableFile as error:
            problems += [replace(p, source_file=a.file.source_file) for p in error.problems[:MOST_PROBLEMS]]
    if problems:
        raise UnreadableFile(problems)
    if len(drafts) > 1:
        listed = ", ".join(sql_literal(str(d)) for d in drafts)
        landing.con.execute(f"copy (from read_parquet([{listed}])) to {sql_literal(str(target))} {PARQUET}")
    return counts


def _write_one(landing: Landing, arrived: Arrived, named: Sequence[str], draft: Path) -> int:
    con, file = landing.con, arrived.file
    head = ", ".join(
        f"{sql_literal(v)} as {c}"
        for c, v in (
            ("delivery_id", file.delivery_id or landing.delivery_id), ("file_sha256", file.sha256),
            ("source_file", file.source_file),
        )
    )  # fmt: skip
    with broken_records():
        query = f"copy (select {head}, * from ({arrived.select(named)})) to {sql_literal(str(draft))} {PARQUET}"
        n_rows = int(con.execute(query).fetchall()[0][0])
    if arrived.text is None:
        return n_rows
    arrived.text.check(con)
    starts = arrived.text.starts(n_rows)
    if starts is not None:
        import pyarrow as pa

        con.register("starts", pa.table({"line": starts}))
        whole = draft.with_suffix(".lines")
        con.execute(f"""
            copy (select r.* replace (s.line as source_row) from read_parquet({sql_literal(str(draft))}) r
                positional join starts s) to {sql_literal(str(whole))} {PARQUET}
        """)
        con.unregister("starts")
        whole.replace(draft)
    return n_rows
