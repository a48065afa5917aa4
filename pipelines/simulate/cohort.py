"""Feasible cohorts at random, of any size and of the same shape as the reference study's."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import study
from pipelines.simulate import truth

if TYPE_CHECKING:
    import duckdb


def random_cohort(con: "duckdb.DuckDBPyConnection", patients: int, seed: int, out_dir: Path) -> tuple[Path, Path]:
    """Write `cohort.csv` (a row a patient) and `lesions.csv` (a row a patient and progressing site) into `out_dir`.

    Every draw is a hash of seed, patient and purpose: the same seed gives the same cohort. Uses and drops schema
    `world` of `con`. Shares: `random.yaml`; the invented patients are feasible by construction.
    """
    truth.prepare(con, seed)
    con.execute(f"set variable patients = {int(patients)}")
    truth.one_row(con, "random", study.read_yaml(truth.HERE / "random.yaml"))
    for path in sorted((truth.HERE / "sql" / "random").glob("*.sql")):
        con.execute(f"create table world.{path.stem.split('_', 1)[1]} as {path.read_text(encoding='utf-8')}")
    out_dir.mkdir(parents=True, exist_ok=True)
    for table, order in (("cohort", "patient"), ("lesions", "patient, site")):
        target = study.sql_literal(str(out_dir / f"{table}.csv"))
        con.execute(f"copy (from world.{table} order by {order}) to {target} (format csv, header true)")
    con.execute("drop schema world cascade")
    return out_dir / "cohort.csv", out_dir / "lesions.csv"
