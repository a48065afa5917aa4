"""From landed text to typed staged tables of one centre: its mapping compiled to SQL, one private database a centre."""

import shutil
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import study, warehouse
from pipelines.centres import DICTIONARY, Centre
from pipelines.staging_fields import MACROS, quote
from pipelines.staging_rows import FINDING, Made, columns_of, compile_part, compile_source
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

INVISIBLE = " \t\r\n\u00a0\u200b\u200c\u200d\u2060\ufeff"  # blanks that spreadsheets and web forms leave around a text
PLACE = ("_part", "_rid", "_blk")  # a staged row's place: part of the mapping, row of the source, block of an unpivot
NOT_IN_KEYS = ("delivery_id", "source_file", "source_row")


def stage(centre: Centre, landed: Path, out: Path) -> dict[str, int]:
    """Stage the delivery that lies in `landed` (named by its id) into `out`; returns the rows of each staged table.

    Input grain: one row per record received, all text, one Parquet file a source, `_notes` and `_received`.
    Output: one Parquet file for every staged table, those that the centre does not send empty, and `findings` (one row
    per thing to ask), `dropped` (one row per row left out, with its reason) and `received` (one row per file and
    source). Units are the study's; numbers are exact. `out` is replaced as a whole or not at all.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".staging-", dir=out.parent) as scratch, closing(warehouse.memory()) as con:
        draft = Path(scratch) / "staged"
        draft.mkdir()
        about = Stage(con, centre, landed)
        made = about.prepare()
        counts = {table: about.write(draft / f"{table}.parquet", about.final(table)) for table in study.staged_tables()}
        about.write(draft / "findings.parquet", about.findings(made))
        about.write(draft / "dropped.parquet", about.dropped())
        about.write(draft / "received.parquet", about.received())
        shutil.rmtree(out, ignore_errors=True)
        draft.rename(out)
    return counts
