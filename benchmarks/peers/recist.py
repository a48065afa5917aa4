"""The RECIST responses three times over the same harmonised tables: our SQL, pandas, polars.

    python benchmarks/peers/recist.py HOME ENGINE      prints processor and wall seconds and the counts as JSON

All three do the same: from the harmonised tables to every row of `assessed.timepoint_responses` and
`assessed.best_responses`, reasons in words included. Every row must be the one that the home has, else it ends with 1.
Only the derivation is timed: every engine finds its tables in memory, and neither pays for its imports.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import duckdb

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
RESULTS = ("timepoint_responses", "best_responses")
# what the peers read: the columns that the derivation needs
GIVEN = {
    "subjects": "select usubjid, link_state from harmonised.subjects",
    "measurements": """select usubjid, lesion_id, visitnum, trdt, source_row, lesion_state, method,
        (diameter_mm * 1000)::double as size_um, (slice_mm * 1000)::double as slice_um from harmonised.measurements""",
    "lesions": """select usubjid, lesion_id, lesion_role, l.anatomic_site, measurable_fl, organ, nodal_fl
        from harmonised.lesions l left join study.anatomic_site s on s.code = l.anatomic_site""",
    "exposures": """select usubjid, exstdt, exdose_mg, extrt = study_drug as is_study_drug
        from harmonised.exposures cross join study.protocol""",
    "fractions": """select usubjid, centre, course_id, fraction_no, fxdt, dose_gy::double as dose_gy
        from harmonised.fractions""",
    "courses": "select usubjid, centre, course_id, delivered_fractions, rtstdt from harmonised.courses",
    "targets": "select usubjid, centre, target_id, course_id from harmonised.targets",
    "lesion_links": "select usubjid, centre, target_id, lesion_id, link_basis from harmonised.lesion_links",
    "followup": "select usubjid, next_therapy_dt from harmonised.followup",
    "timepoint_response": "select target, nontarget, new_lesion, overall from study.timepoint_response",
    "response": "select code, worst_order from study.response",
}
MILLIMETRES = ("too_small", "normal_node", "min_target", "min_xray_target", "min_node_target", "max_slice")
NUMBERS = (
    "pd_min_increase_pct", "pr_max_pct", "max_targets", "max_targets_per_organ", "thick_slice_factor",
    "confirmation_days", "min_sd_days",
)  # fmt: skip
# the readings of the contested points that the peers know
READINGS = {
    "sd_after_pr": "pr", "pd_with_missing_target": "pd", "disease_after_cr": "pd", "pr_after_cr": "general",
    "pd_date": "first", "irradiated_target": "ne", "accept_sd": "no",
}  # fmt: skip


def protocol(con: duckdb.DuckDBPyConnection) -> dict[str, float]:
    """The protocol's numbers that the peers need, lengths in micrometres."""
    lengths = ", ".join(f"({name}_mm * 1000)::double as {name}_um" for name in (*MILLIMETRES, "pd_min_increase"))
    row = con.execute(f"select {lengths}, {', '.join(NUMBERS)} from study.protocol")
    names = [column[0] for column in row.description]
    return {name: float(value) for name, value in zip(names, row.fetchall()[0], strict=True)}


def refuse_unknown(con: duckdb.DuckDBPyConnection) -> None:
    """The peers know no lesions that split or merge, no visits that share a day, no other readings of the protocol."""
    unknown = {
        "lesions that split or merge": "assessed.lesion_parts",
        "visits that share a day": "assessed.visit_days where as_visitnum <> visitnum",
    }
    for what, rows in unknown.items():
        if con.execute(f"select count(*) from {rows}").fetchall()[0][0]:
            sys.exit(f"this cohort has {what}, which the peers do not know")
    found = con.execute(f"select {', '.join(READINGS)} from study.protocol").fetchall()[0]
    if found != tuple(READINGS.values()):
        sys.exit("this home's protocol reads a contested point otherwise than the peers")


def ours(home: Path) -> tuple[float, float, duckdb.DuckDBPyConnection]:
    """All models that the responses hang on, over tables in memory."""
    from pipelines import models

    con = duckdb.connect()
    con.execute(f"attach '{home / 'warehouse.duckdb'}' as home (read_only); attach ':memory:' as store")
    models.attach(con)
    listed = "select schema_name, table_name from duckdb_tables() where database_name = 'home' order by all"
    for schema, table in con.execute(listed).fetchall():
        if schema in ("harmonised", "study"):
            con.execute(f"create table store.{schema}.{table} as from home.{schema}.{table}")
    needed = set()
    waiting = [f"assessed.{name}" for name in RESULTS]
    while waiting:
        name = waiting.pop()
        if name.startswith("assessed.") and name not in needed:
            needed.add(name)
            waiting += models.load()[name].deps
    started = time.process_time(), time.perf_counter()
    for name, model in models.load().items():
        if name in needed:
            models.run(con, model)
    cpu, wall = time.process_time() - started[0], time.perf_counter() - started[1]
    for name in RESULTS:
        con.execute(f"create view memory.{name} as from store.assessed.{name}")
    return cpu, wall, con


def peer(home: Path, engine: str) -> tuple[float, float, duckdb.DuckDBPyConnection]:
    """The same by pandas or polars; their frames are shown to DuckDB afterwards."""
    tables: dict[str, Any] = {}
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        refuse_unknown(con)
        numbers = protocol(con)
        if engine == "pandas":
            import recist_pandas as module

            tables = {name: con.execute(sql).df() for name, sql in GIVEN.items()}
        else:
            import polars
            import recist_polars as module

            tables = {name: polars.from_arrow(con.execute(sql).to_arrow_table()) for name, sql in GIVEN.items()}
    started = time.process_time(), time.perf_counter()
    found = module.derive(tables, numbers)
    cpu, wall = time.process_time() - started[0], time.perf_counter() - started[1]
    con = duckdb.connect()
    con.execute(f"attach '{home / 'warehouse.duckdb'}' as home (read_only)")
    for name, frame in zip(RESULTS, found, strict=True):
        con.register("frame", frame if engine == "pandas" else frame.to_arrow())
        con.execute(f"create table memory.{name} as from frame")
    return cpu, wall, con


def compared(con: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Rows by table, series and value, after every row has been held against the home's; ends with 1 if one differs."""
    counts = {}
    for name in RESULTS:
        described = con.execute(f"describe home.assessed.{name}").fetchall()
        columns = ", ".join(f"{column}::{kind} as {column}" for column, kind, *_ in described)
        sides = {
            "wrong": (f"memory.{name}", f"home.assessed.{name}"),
            "missing": (f"home.assessed.{name}", f"memory.{name}"),
        }
        for what, (these, those) in sides.items():
            # `except all` counts rows that are there twice
            found = con.execute(
                f"select count(*) from (select {columns} from {these} except all select {columns} from {those})"
            ).fetchall()[0][0]
            if found:
                sys.exit(f"assessed.{name}: {found} rows {what}")
        value = "series || ' ' || overall_response" if name == RESULTS[0] else "bor || ' ' || cbor"
        counts |= dict(con.execute(f"select '{name} ' || {value}, count(*) from memory.{name} group by 1").fetchall())
    return counts


def main() -> None:
    home, engine = Path(sys.argv[1]).resolve(), sys.argv[2]
    cpu, wall, con = ours(home) if engine == "ours" else peer(home, engine)
    print(json.dumps({"cpu": cpu, "wall": wall, "counts": compared(con)}))


if __name__ == "__main__":
    main()
