"""FHIR resources as NDJSON: one JSON object a line, as a bulk export writes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.study import sql_literal

if TYPE_CHECKING:
    import duckdb


def write(con: "duckdb.DuckDBPyConnection", spec: Mapping[str, Any], target: Path) -> None:
    """Write the rows of `spec.select`, whose one column `resource` is a JSON object, in their order.

    A type without resources has no file, as in a bulk export.
    """
    # neither quote nor delimiter: the text of each row is the line
    options = "format csv, header false, quote '', escape '', delimiter '\x01'"
    con.execute(f"copy (select resource::varchar from ({spec['select']})) to {sql_literal(str(target))} ({options})")
    if not target.stat().st_size:
        target.unlink()
