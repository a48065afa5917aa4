"""Deliveries of every centre from one cohort, with the truth beside them."""

import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.errors import MappingError, UsageError
from pipelines.simulate.cohort import random_cohort
from pipelines.simulate.defect_entries import kinds
from pipelines.simulate.render import render
from pipelines.simulate.truth import build

if TYPE_CHECKING:
    import duckdb

DEFECT_COLUMNS = ("centre", "delivery", "source_file", "source_row", "field", "defect_kind", "rule_id")
PLACES = f"""
    create table world.defects ({", ".join(f"{c} varchar" for c in (*DEFECT_COLUMNS, "usubjid", "lesion"))});
    create table world.places ({", ".join(f"{c} varchar" for c in (*DEFECT_COLUMNS[:4], "usubjid", "lesion"))});
"""


def simulate(
    out: Path,
    cohort: Path | None = None,
    lesions: Path | None = None,
    patients: int | None = None,
    seed: int = 1,
    centres: Path = study.ROOT / "centres",
    defects: float = 0,
    csv: bool = False,
) -> dict[str, Any]:
    """Write each centre's delivery into `out/inbox` and the truth into `out/truth`; returns counts and extract date.

    Input: a cohort (a row a patient) with its progressing sites, or a number of patients to draw. Output: the files
    that each `centres/<id>/export.yaml` describes; `truth/cohort.csv` and `truth/lesions.csv` (the input with
    `usubjid`) and `truth/defects.csv`. `defects` is the share of records to spoil, 0 to 1, as the kinds in
    `defects.yaml` and each `centres/<id>/defects.yaml` say. With `csv` every centre writes its CSV twin, however few
    patients there are. A centre without a patient sends nothing. Equal input and seed give equal bytes. Raises
    `Infeasible`, `UsageError`.
    """
    import duckdb

    given = (cohort is not None, lesions is not None, patients is not None and patients > 0)
    if given not in ((True, True, False), (False, False, True)):
        raise UsageError("give either a cohort with its lesions, or a number of patients of at least 1.")
    if not 0 <= defects <= 1:
        raise UsageError("defects: a share of the records between 0 and 1 is expected.")
    exports = _exports(centres)
    # on disk, so that a large world does not have to fit into memory
    with (
        tempfile.TemporaryDirectory() as scratch,
        closing(duckdb.connect(str(Path(scratch) / "scratch.duckdb"))) as con,
    ):
        con.execute("set enable_progress_bar = false")
        if cohort is None or lesions is None:
            cohort, lesions = random_cohort(con, patients or 0, seed, Path(scratch))
        build(con, cohort, lesions, seed, {unit: centre for centre, (unit, _) in exports.items()})
        (n_patients, bulk, extract_date) = con.execute("""
            select (select count(*) from world.patients), (select count(*) from world.patients) > s.bulk_above_patients,
                m.extract_date from world.story s cross join world.meta m
        """).fetchall()[0]
        con.execute(PLACES)
        sending = {centre for (centre,) in con.execute("select distinct centre from world.links").fetchall()}
        exports = {centre: export for centre, export in exports.items() if centre in sending}
        for _, export in exports.values():
            render(con, export, out, csv or bulk, defects)
        n_defects = _write_defects(con, out / "truth")
        _write_truth(con, out / "truth")
    return {"patients": n_patients, "centres": list(exports), "extract_date": extract_date, "defects": n_defects}


def _exports(centres: Path) -> dict[str, tuple[str, Path]]:
    """Centre -> (letter of its unit, its `export.yaml`), for every centre that has one."""
    found: dict[str, tuple[str, Path]] = {}
    for path in sorted(centres.glob("[!_]*/export.yaml")):
        export = study.read_yaml(path)
        if export.get("unit") in [unit for unit, _ in found.values()]:
            raise MappingError(f"{path.parent.name}/export.yaml: unit is taken by another centre. Give each its own.")
        found[export["centre"]] = export["unit"], path
    if not found:
        raise UsageError(f"{centres.name}: no centre with an export.yaml here.")
    return found


def _write_truth(con: "duckdb.DuckDBPyConnection", folder: Path) -> None:
    """The input as it came with each patient's study code."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (("cohort", "cohort_text"), ("lesions", "deposits_text")):
        target = study.sql_literal(str(folder / f"{name}.csv"))
        # a truth file can be an input again: its own usubjid gives way
        con.execute(f"""
            copy (
                select t.* exclude (input_row), p.usubjid
                from (select rowid as input_row, columns(lambda c: c <> 'usubjid') from world.{table}) t
                join world.patients p using (patient) order by t.input_row
            ) to {target} (format csv, header true)
        """)


def _write_defects(con: "duckdb.DuckDBPyConnection", folder: Path) -> int:
    """`defects.csv`: every place where a planted defect is to be found; returns how many defects were planted.

    What two centres say differently of one patient or lesion is found in the lists of both: those have a row each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    echoes = ", ".join(
        f"({study.sql_literal(k)}, {study.sql_literal(v['echo'])})" for k, v in kinds().items() if "echo" in v
    )
    columns = ", ".join(DEFECT_COLUMNS)
    con.execute(f"""
        copy (
            from (select {columns} from world.defects
            union all
            select o.centre, o.delivery, o.source_file, o.source_row, d.field, d.defect_kind, e.rule_id
            from world.defects d
            join (values {echoes}) e(defect_kind, rule_id) using (defect_kind)
            join world.places o
                on o.usubjid = d.usubjid and o.centre <> d.centre and o.lesion is not distinct from d.lesion)
            order by centre, source_file, length(source_row), source_row, field
        ) to {study.sql_literal(str(folder / "defects.csv"))} (format csv, header true)
    """)
    return int(con.execute("select count(*) from world.defects").fetchall()[0][0])
