"""Delimited text in a hospital's habits, from one select."""

import codecs
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pipelines import study
from pipelines.errors import MappingError

if TYPE_CHECKING:
    import duckdb

NEWLINES = {"lf": "\n", "crlf": "\r\n"}
CHUNK = 1 << 23


def write(con: "duckdb.DuckDBPyConnection", spec: Mapping[str, Any], target: Path) -> None:
    """Write the rows of `spec.select` (grain: a row a line) to `target`; NULL is an empty cell.

    `spec.write`: encoding (utf-8), delimiter (,), quote ("), quoting minimal | all, newline lf | crlf, header (true),
    preamble and footer: lines as they stand, `{rows}` and `{extract_date}` filled in. Raises `MappingError` for a
    character that the encoding does not have.
    """
    how = spec.get("write", {})
    draft = target.with_name(target.name + ".draft")
    encoding, newline = how.get("encoding", "utf-8"), NEWLINES[how.get("newline", "lf")]
    # DuckDB writes millions of rows in seconds, but only UTF-8 and only the table
    rows = _copy(con, spec["select"], how, draft)
    before, after = (
        "".join(line.format(rows=rows, extract_date=spec["extract_date"]) + newline for line in how.get(part, []))
        for part in ("preamble", "footer")
    )
    encoder = codecs.getincrementalencoder(encoding)()
    try:
        with target.open("wb") as file:
            file.write(encoder.encode(before))
            if encoding in ("utf-8", "utf-8-sig") and newline == "\n":
                with draft.open("rb") as source:
                    shutil.copyfileobj(source, file, CHUNK)
            else:
                _recode(draft, file, encoder, newline)
            file.write(encoder.encode(after, final=True))
    except UnicodeEncodeError as error:
        raise MappingError(f"{spec['centre']}: {spec['path']}: {encoding} lacks a character of the data.") from error
    finally:
        draft.unlink()


def _copy(con: "duckdb.DuckDBPyConnection", select: str, how: Mapping[str, Any], draft: Path) -> int:
    """The table itself as UTF-8 with line feeds; returns the number of rows."""
    quote = study.sql_literal(how.get("quote", '"'))
    options = f"format csv, header {str(how.get('header', True)).lower()}, quote {quote}, escape {quote}"
    options += f", delimiter {study.sql_literal(how.get('delimiter', ','))}"
    if how.get("quoting") == "all":
        options += ", force_quote *"
    ((rows,),) = con.execute(f"copy ({select}) to {study.sql_literal(str(draft))} ({options})").fetchall()
    return int(rows)


def _recode(draft: Path, file: BinaryIO, encoder: codecs.IncrementalEncoder, newline: str) -> None:
    """Append the draft to `file` in another encoding, a few megabytes at a time."""
    with draft.open(encoding="utf-8", newline="") as source:
        while text := source.read(CHUNK):
            file.write(encoder.encode(text.replace("\n", newline)))
