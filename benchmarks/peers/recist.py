"""The RECIST responses three times over the same harmonised tables: our SQL, pandas, polars.

    python benchmarks/peers/recist.py HOME ENGINE      prints processor and wall seconds and the counts as JSON

Only the derivation is timed: every engine finds its tables in memory. Ours also writes each response's reason, the
series after radiotherapy and the confirmed best response; the peers do the first line alone and are given the
irradiated lesions and each subject's dates.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import duckdb

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
GIVEN = {
    "measurements": """select usubjid, lesion_id, visitnum, trdt, source_row, lesion_state, method,
        (diameter_mm * 1000)::double as size_um, (slice_mm * 1000)::double as slice_um from harmonised.measurements""",
    "lesions": """select usubjid, lesion_id, lesion_role, l.anatomic_site, measurable_fl, organ, nodal_fl
        from harmonised.lesions l left join study.anatomic_site s on s.code = l.anatomic_site""",
    "subject_dates": "select usubjid, trtsdt, next_therapy_dt from assessed.subject_dates",
    "irradiated": "select usubjid, lesion_id, first_fraction_dt from assessed.irradiated_lesions",
    "timepoint_response": "select target, nontarget, new_lesion as new, overall from study.timepoint_response",
    "response": "select code, worst_order from study.response",
}
MILLIMETRES = ("too_small", "normal_node", "min_target", "min_xray_target", "min_node_target", "max_slice")
NUMBERS = (
    "pd_min_increase_pct", "pr_max_pct", "max_targets", "max_targets_per_organ", "thick_slice_factor",
    "confirmation_days", "min_sd_days",
)  # fmt: skip
WANTED = ("TRGRESP", "OVRLRESP", "BOR")


def protocol(con: duckdb.DuckDBPyConnection) -> dict[str, float]:
    """The protocol's numbers that the peers need, lengths in micrometres."""
    lengths = ", ".join(f"({name}_mm * 1000)::double as {name}_um" for name in (*MILLIMETRES, "pd_min_increase"))
    row = con.execute(f"select {lengths}, {', '.join(NUMBERS)} from study.protocol")
    names = [column[0] for column in row.description]
    return {name: float(value) for name, value in zip(names, row.fetchall()[0], strict=True)}


def refuse_compounds(con: duckdb.DuckDBPyConnection) -> None:
    """The peers know no lesions that split or merge; a cohort that has some is no fair one."""
    if con.execute("select count(*) from assessed.lesion_parts").fetchall()[0][0]:
        sys.exit("this cohort has lesions that split or merge, which the peers do not know")


def ours(home: Path) -> tuple[float, float, dict[str, int]]:
    """All models that the responses hang on, over tables in memory."""
    from pipelines import models

    con = duckdb.connect()
    con.execute(f"attach '{home / 'warehouse.duckdb'}' as full_home (read_only); attach ':memory:' as store")
    models.attach(con)
    listed = "select schema_name, table_name from duckdb_tables() where database_name = 'full_home' order by all"
    for schema, table in con.execute(listed).fetchall():
        if schema in ("harmonised", "study"):
            con.execute(f"create table store.{schema}.{table} as from full_home.{schema}.{table}")
    needed = set()
    waiting = ["assessed.timepoint_responses", "assessed.best_responses"]
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
    con.execute("use store")
    rows = con.execute("""
        with first_line as (from assessed.timepoint_responses where series = 'first_line')
        select 'TRGRESP ' || target_response, count(*) from first_line group by 1
        union all select 'OVRLRESP ' || overall_response, count(*) from first_line group by 1
        union all select 'BOR ' || bor, count(*) from assessed.best_responses group by 1
    """).fetchall()
    return cpu, wall, dict(rows)


def peer(home: Path, engine: str) -> tuple[float, float, dict[str, int]]:
    con = duckdb.connect(str(home / "warehouse.duckdb"), read_only=True)
    refuse_compounds(con)
    numbers = protocol(con)
    tables: dict[str, Any] = {}
    if engine == "pandas":
        import recist_pandas as module

        tables = {name: con.execute(sql).df() for name, sql in GIVEN.items()}
    else:
        import polars
        import recist_polars as module

        tables = {name: polars.from_arrow(con.execute(sql).to_arrow_table()) for name, sql in GIVEN.items()}
    con.close()
    started = time.process_time(), time.perf_counter()
    found = module.counts(tables, numbers)
    return time.process_time() - started[0], time.perf_counter() - started[1], found


def published(home: Path) -> dict[str, int]:
    """The same counts in the home's own `assessed.adrs`: what all engines are held against."""
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        names = ", ".join(f"'{name}'" for name in WANTED)
        return dict(con.execute(f"""
            select paramcd || ' ' || avalc, count(*) from assessed.adrs where paramcd in ({names}) group by 1
        """).fetchall())  # fmt: skip


def main() -> None:
    home, engine = Path(sys.argv[1]).resolve(), sys.argv[2]
    cpu, wall, found = ours(home) if engine == "ours" else peer(home, engine)
    right = published(home)
    different = {key: (found.get(key, 0), right.get(key, 0)) for key in found.keys() | right.keys()}
    different = {key: both for key, both in sorted(different.items()) if both[0] != both[1]}
    if different:
        sys.exit(f"{engine} counts otherwise than assessed.adrs (its count, ours): {different}")
    print(json.dumps({"cpu": cpu, "wall": wall, "counts": found}))


if __name__ == "__main__":
    main()
