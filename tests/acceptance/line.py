"""The line without its shell: a cohort's deliveries taken in and staged, every table made."""

from pathlib import Path

import duckdb

from pipelines import staging, study
from pipelines import touched as lists
from pipelines.centres import load_all
from pipelines.deliveries import ledger
from pipelines.deliveries.intake import intake
from pipelines.deliveries.land import land
from pipelines.orchestration import past
from pipelines.orchestration.plan import centre_folders
from pipelines.orchestration.steps import load_steps
from pipelines.warehouse import Home

CENTRES = study.ROOT / "centres"
TABLES = [name for name in study.tables() if not name.startswith("reports.")]


def stage(home: Home) -> None:
    """Take in what lies in the inbox and stage it; every delivery must be accepted."""
    centres = load_all(CENTRES)
    intake(home, centre_folders())
    for delivery in ledger.read(home):
        land(home, centres[delivery.centre], delivery)
        folder = home.landed / delivery.centre / delivery.delivery_id
        staging.stage(centres[delivery.centre], folder, home.staged / delivery.centre)


def open_study(home: Home) -> duckdb.DuckDBPyConnection:
    """The warehouse open for writing, with the study's words in it and the staged rows in sight."""
    return past.open_study(home, load_all(CENTRES))


def make(con: duckdb.DuckDBPyConnection, touched: list[str] | None = None) -> None:
    """Make every table, or only what the centres in `touched` can have changed."""
    if touched is not None:
        lists.touch(con, touched)
    for step in load_steps():
        step.run(con, touched is not None)


def content(con: duckdb.DuckDBPyConnection, full_name: str) -> list[tuple[object, ...]]:
    """The rows of a table in an order of their own."""
    return con.execute(f"from store.{full_name} order by all").fetchall()


def made_from(cohort: Path, lesions: Path, root: Path, seed: int = 1) -> duckdb.DuckDBPyConnection:
    """Every table of a cohort, by way of its seven deliveries."""
    from pipelines.simulate.simulate import simulate

    simulate(root, cohort, lesions, seed=seed)
    stage(Home(root))
    con = open_study(Home(root))
    make(con)
    return con
