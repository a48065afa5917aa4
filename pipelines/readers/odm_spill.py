"""Rows of all item groups of one ODM file, put aside on disk in one pass and handed out group by group."""

import hashlib
import heapq
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import Problem, UnreadableFile
from pipelines.readers.read import text_table

if TYPE_CHECKING:
    import pyarrow as pa

BATCH = 20_000
MOST_CELLS = 2_000_000  # of one table, however wide
MOST_CHARS = 32 << 20
MOST_GROUPS = 10_000
MOST_ITEMS = 10_000  # of one item group
INDEX = "index.json"
REMOVED = "removed"
SEQ, FLUSH = "_seq", b"flush"
Row = Mapping[str, str]


@dataclass
class Spill:
    """A folder with a file an item group, and one of what is removed above them; each holds a part per flush."""

    folder: Path
    groups: dict[str, int] = field(default_factory=dict)
    items: dict[str, dict[str, str]] = field(default_factory=dict)  # item group -> name in lower case -> name
    filled: dict[str, tuple[int, str]] = field(default_factory=dict)  # item group -> rows with items, the first of them
    buffers: dict[str, list[tuple[int, Row]]] = field(default_factory=dict)
    widths: dict[str, dict[str, None]] = field(default_factory=dict)
    seq: int = 0
    n_rows: int = 0
    n_chars: int = 0
    n_flushes: int = 0

    def name(self, group: str, item: str, reserved: Sequence[str]) -> str:
        """Note that a group has an item; returns what was expected where its name cannot be a column."""
        names = self.items.setdefault(group, {})
        if item and names.get(item.lower()) == item:
            return ""
        if not item or item.lower() in names or item.lower() in map(str.lower, reserved):
            return "an ItemOID that is no key's name and unlike the others of its item group in more than its case"
        names[item.lower()] = item
        if len(self.items) > MOST_GROUPS or len(names) > MOST_ITEMS:
            return f"at most {MOST_GROUPS} item groups with at most {MOST_ITEMS} items"
        return ""

    def add(self, group: str, row: Row, is_filled: bool) -> None:
        """One row of an item group, in document order of its start; whether it holds an item."""
        if is_filled:
            n, first = self.filled.get(group, (0, row["source_row"]))
            self.filled[group] = (n + 1, first)
        self._keep(str(self.groups.setdefault(group, len(self.groups))), row)

    def remove(self, row: Row) -> None:
        """One removal of a subject, event or form: it concerns every item group."""
        self._keep(REMOVED, row)

    def _keep(self, file: str, row: Row) -> None:
        self.seq += 1
        rows, width = self.buffers.setdefault(file, []), self.widths.setdefault(file, {})
        rows.append((self.seq, row))
        width.update(dict.fromkeys(row))
        self.n_rows += 1
        self.n_chars += sum(map(len, row.values()))
        if self.n_rows >= BATCH or self.n_chars >= MOST_CHARS or len(rows) * len(width) >= MOST_CELLS:
            self.flush()

    def flush(self) -> None:
        """Append what is in memory to the files, so that memory stays small."""
        import pyarrow as pa

        for file, rows in self.buffers.items():
            table = text_table({name: [row.get(name) for _, row in rows] for name in self.widths[file]})
            table = table.append_column(SEQ, pa.array([seq for seq, _ in rows], pa.int64()))
            table = table.replace_schema_metadata({FLUSH: str(self.n_flushes)})
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            with (
                (self.folder / file).open("ab") as out,
                pa.ipc.new_stream(out, table.schema, options=options) as stream,
            ):
                stream.write_table(table)
        self.buffers, self.widths, self.n_rows, self.n_chars = {}, {}, 0, 0
        self.n_flushes += 1


def opened(path: Path, scratch: Path, read: Callable[[Path, Spill], None]) -> Spill:
    """The spill of a file below `scratch`: made by `read`, or as an earlier call left it there.

    Raises `UnreadableFile`, of the same file again without reading it again.
    """
    about = path.stat()
    name = hashlib.sha256(f"{path.resolve()}|{about.st_size}|{about.st_mtime_ns}".encode()).hexdigest()
    folder = scratch / f"odm-{name}"
    index = folder / INDEX
    if not index.exists():
        folder.mkdir(parents=True)
        spill, problems = Spill(folder), []
        try:
            read(path, spill)
            spill.flush()
        except UnreadableFile as error:
            problems = [[p.place, p.expected, p.action] for p in error.problems]
        found = {"groups": spill.groups, "items": spill.items, "filled": spill.filled, "problems": problems}
        index.write_text(json.dumps(found), encoding="utf-8")
    found = json.loads(index.read_text(encoding="utf-8"))
    if found["problems"]:
        raise UnreadableFile([Problem("", *problem) for problem in found["problems"]])
    return Spill(folder, found["groups"], found["items"], found["filled"])


def rows(spill: Spill, groups: Sequence[str], keys: Sequence[str]) -> "Iterator[pa.Table]":
    """The rows of some item groups and the removals that concern them, in document order, about `BATCH` at a time."""
    import pyarrow as pa

    names = dict.fromkeys(("source_row", *keys, *(i for g in groups for i in spill.items.get(g, {}).values())))
    yield text_table({name: [] for name in names})
    files = [str(spill.groups[g]) for g in dict.fromkeys(groups) if g in spill.groups] + [REMOVED]
    parts = heapq.merge(*(_parts(spill.folder / file) for file in files), key=_flush)
    waiting: list[pa.Table] = []
    for _, together in itertools.groupby(parts, key=_flush):
        part = pa.concat_tables([t.replace_schema_metadata() for t in together], promote_options="default")
        waiting.append(part.sort_by(SEQ).drop_columns([SEQ]))
        n_rows = sum(map(len, waiting))
        if n_rows >= BATCH or n_rows * len(names) >= MOST_CELLS:
            yield pa.concat_tables(waiting, promote_options="default")
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting, promote_options="default")


def _flush(table: "pa.Table") -> int:
    return int(table.schema.metadata[FLUSH])


def _parts(file: Path) -> "Iterator[pa.Table]":
    """The tables that were appended to one file, one after the other."""
    import pyarrow as pa

    if not file.exists():
        return
    with pa.OSFile(str(file)) as source:
        while source.tell() < source.size():
            with pa.ipc.open_stream(source) as stream:
                yield stream.read_all()
