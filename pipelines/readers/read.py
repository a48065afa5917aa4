"""One door to every format: files in, one all-text Arrow table out. Types, codes and units come from the mapping."""

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


def read(files: Sequence[tuple[str, Path]], spec: Mapping[str, Any]) -> "pa.Table":
    """Read the files of one source by its `read:` mapping.

    Input: `(source_file, path on disk)` of each file; `spec.format` and the options that `readers/<format>.py` states.
    Output grain: one row per record, in file order: `source_file`, `source_row` and every raw column, all text, NULL
    for an empty cell. Raises `UnreadableFile` with the problems of all files, `MappingError` for an unknown format.
    """
    import pyarrow as pa

    if spec["format"] not in FORMATS:
        raise MappingError(f"read.format: {spec['format']!r} is none of {', '.join(FORMATS)}.")
    reader = import_module(f"pipelines.readers.{spec['format']}")
    tables, problems = [], []
    for source_file, path in files:
        try:
            found = reader.read_file(path, spec)
        except UnreadableFile as error:
            problems += [replace(p, source_file=source_file) for p in error.problems[:MOST_PROBLEMS]]
            continue
        rows = found if isinstance(found, pa.Table) else text_table(found)
        names = pa.array([source_file], pa.string()).take(pa.array([0] * len(rows), pa.int32()))
        tables.append(rows.add_column(0, "source_file", names))
    if problems:
        raise UnreadableFile(problems)
    # a file that lacks a column has NULL there; whether the column may be missing is for landing to say
    return pa.concat_tables(tables, promote_options="default").combine_chunks()


def batches(files: Sequence[tuple[str, Path]], spec: Mapping[str, Any]) -> "Iterator[tuple[str, pa.Table]]":
    """`read`, a file at a time, without `source_file` as a column."""
    for source_file, path in files:
        yield source_file, read([(source_file, path)], spec).drop_columns(["source_file"])


def text_table(columns: Mapping[str, Sequence[str | None]]) -> "pa.Table":
    """Columns of text as an Arrow table; an empty text becomes NULL."""
    import pyarrow as pa

    return pa.table({name: pa.array([v or None for v in values], pa.string()) for name, values in columns.items()})
