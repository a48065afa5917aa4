"""One centre's clean delivery of invented patients, to be changed and taken in: shared by the tests of its quirks."""

from pathlib import Path
from typing import Any

import duckdb

from pipelines import centres, study, warehouse
from pipelines.deliveries.intake import intake
from pipelines.orchestration.take_in import take_in
from pipelines.simulate import render, truth
from pipelines.simulate.cohort import random_cohort
from pipelines.warehouse import Home

FOLDER = study.ROOT / "centres"


def write_export(name: str, out: Path, patients: int = 40) -> Path:
    """Write the files of one clean delivery; returns their folder."""
    units = {e["unit"]: e["centre"] for e in map(study.read_yaml, sorted(FOLDER.glob("[!_]*/export.yaml")))}
    with warehouse.memory() as con:
        truth.build(con, *random_cohort(con, patients, 3, out), 1, units)
        render.render(con, FOLDER / name / "export.yaml", out, False)
    return next((out / "inbox" / name).iterdir())


def deliver(home: Home, name: str, files: dict[str, bytes]) -> Path:
    """Take one delivery in; returns the folder of the staged tables. Raises what rejected it."""
    inbox = home.inbox / name / "2017-01-01"
    inbox.mkdir(parents=True)
    for file, content in files.items():
        (inbox / file).write_bytes(content)
    done = take_in(home, centres.load(FOLDER / name), tuple(intake(home, [name])), "v1")
    if done.rejected:
        raise done.rejected[0]
    return home.staged / name


def rows(path: Path, columns: str, where: str = "true") -> list[tuple[Any, ...]]:
    with duckdb.connect() as con:
        return con.execute(f"select {columns} from '{path}' where {where} order by all").fetchall()


def compared(table: str) -> str:
    """The columns of a staged table that two deliveries of the same records share."""
    return ", ".join(c for c in study.staged_columns(table) if c not in ("delivery_id", "file_sha256"))
