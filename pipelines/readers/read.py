"""One door to every format: files in, one all-text Arrow table out. Types, codes and units come from the mapping."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import MappingError, UnreadableFile

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("csv", "xlsx", "odm", "dicom", "fhir")
MOST_PROBLEMS = 50
NOTES, NAMES = b"notes", b"names"
NOT_READ = "structure/not_read"  # records that the mapping does not name


def read(files: Sequence[tuple[str, Path]], spec: Mapping[str, Any]) -> "pa.Table":
    """Read the files of one source by its `read:` mapping.

    Input: `(source_file, path on disk)` of each file; `spec.format` and the options that `readers/<format>.py` states.
    Output grain: one row per record, in file order: `source_file`, `source_row` and every raw column, all text, NULL
    for an empty cell. Raises `UnreadableFile` with the problems of all files, `MappingError` for an unknown format.
    """
    import pyarrow as pa

    tables = []
    for source_file, rows in batches(files, spec):
        names = pa.array([source_file], pa.string()).take(pa.array([0] * len(rows), pa.int32()))
        tables.append(rows.replace_schema_metadata().add_column(0, "source_file", names))
    # a file that lacks a column has NULL there; whether the column may be missing is for landing to say
    return pa.concat_tables(tables, promote_options="default").combine_chunks()


def batches(files: Sequence[tuple[str, Path]], spec: Mapping[str, Any]) -> "Iterator[tuple[str, pa.Table]]":
    """`read`, batch by batch, without `source_file` as a column; what a batch notes of its file is `notes_of` it.

    The problems of all files are raised after the last of them.
    """
    import pyarrow as pa

    if spec["format"] not in FORMATS:
        raise MappingError(f"read.format: {spec['format']!r} is none of {', '.join(FORMATS)}.")
    reader = import_module(f"pipelines.readers.{spec['format']}")
    problems = []
    for source_file, path in files:
        try:
            # a format whose files are small has no batches
            for found in reader.batches(path, spec) if hasattr(reader, "batches") else [reader.read_file(path, spec)]:
                yield source_file, found if isinstance(found, pa.Table) else text_table(found)
        except UnreadableFile as error:
            problems += [replace(p, source_file=source_file) for p in error.problems[:MOST_PROBLEMS]]
    if problems:
        raise UnreadableFile(problems)


def with_notes(table: "pa.Table", notes: Sequence[Sequence[str | None]], names: str = "") -> "pa.Table":
    """A batch that also says what was noticed: rule_id, source_row, field, value_received, expected of each note; and
    in which row the `names` of its columns stand, where that is not the first."""
    about = {NOTES: json.dumps(notes)} if notes else {}
    return table.replace_schema_metadata(about | ({NAMES: names} if names else {}))


def notes_of(table: "pa.Table") -> list[list[str | None]]:
    return list(json.loads((table.schema.metadata or {}).get(NOTES, "[]")))


def names_of(table: "pa.Table") -> str:
    """The `source_row` of the names of the columns."""
    return (table.schema.metadata or {}).get(NAMES, b"1").decode()


def text_table(columns: Mapping[str, Sequence[str | None]]) -> "pa.Table":
    """Columns of text as an Arrow table; an empty text becomes NULL."""
    import pyarrow as pa

    return pa.table({name: pa.array([v or None for v in values], pa.string()) for name, values in columns.items()})
