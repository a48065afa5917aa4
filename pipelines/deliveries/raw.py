"""Records as their hospital wrote them: from what was landed, by the place that a row carries."""

import json
from typing import TYPE_CHECKING

from pipelines import study
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb


def raw_rows(con: "duckdb.DuckDBPyConnection", home: Home) -> None:
    """Make `temp.raw_rows`: a row per place and source that reads it, `raw` its cells as JSON by raw column name.

    Input: `temp.places`, columns centre, delivery_id, source_file and source_row, a row per record; and the landed
    files. Output: these columns, source, file_sha256 and raw. A place that no landed file holds is missing from it.
    """
    con.execute("""
        create or replace temp table raw_rows (
            centre varchar, delivery_id varchar, source varchar, file_sha256 varchar, source_file varchar,
            source_row varchar, raw varchar)
    """)
    for centre, delivery_id in con.execute(
        "select distinct centre, delivery_id from temp.places order by all"
    ).fetchall():
        its, name = study.sql_literal(centre), study.sql_literal(delivery_id)
        for path in sorted((home.landed / str(centre) / str(delivery_id)).glob("[!_]*.parquet")):
            con.execute(f"""
                insert into raw_rows
                select
                    {its}, {name}, {study.sql_literal(path.stem)}, file_sha256, source_file, source_row,
                    to_json(l)::varchar
                from (from {study.sql_literal(str(path))}) l
                semi join (from temp.places where centre = {its} and delivery_id = {name})
                    using (source_file, source_row)
            """)


def cells(raw: str | None) -> dict[str, str]:
    """The cells of a landed row that hold something, by the hospital's own column names."""
    found = json.loads(raw or "{}")
    return {name: text for name, text in found.items() if text and name not in study.PROVENANCE[1:]}
