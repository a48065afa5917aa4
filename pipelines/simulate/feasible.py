"""Refuse a cohort that no set of lesions and visits can produce, naming the patient and the reason."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import study
from pipelines.errors import Infeasible

if TYPE_CHECKING:
    import duckdb

HERE = Path(__file__).resolve().parent
INPUTS = {"cohort": "cohort", "lesions": "deposits"}  # input file -> its table in schema `world`
FACTS = {"lesions": "site_facts", "cohort": "patient_facts"}


def check(con: "duckdb.DuckDBPyConnection") -> None:
    """Look through the loaded input and raise `Infeasible` for the first patient that cannot be.

    Input: `world.cohort` and `world.deposits` with their text forms (made by `truth.build`). First each cell by
    `inputs.yaml` (readable, given, a known code), then what `infeasible.yaml` names. Reasons quote no value; the
    patient is the invented label of the cohort's own file.
    """
    inputs = study.read_yaml(HERE / "inputs.yaml")
    for name, table in INPUTS.items():
        _refuse(
            con,
            f"world.{table}_text raw positional join world.{table} t",
            _cells(con, table, inputs[name]),
            "raw.patient",
        )
    for name, reasons in study.read_yaml(HERE / "infeasible.yaml").items():
        text = (HERE / "sql" / f"{FACTS[name]}.sql").read_text(encoding="utf-8")
        _refuse(con, f"({text})", {r["when"]: r["reason"] for r in reasons}, "patient")


def _cells(con: "duckdb.DuckDBPyConnection", table: str, columns: dict[str, dict[str, str]]) -> dict[str, str]:
    """Predicate -> reason for the cells of one input file."""
    given = {name for (name,) in con.execute(f"select column_name from (describe world.{table}_text)").fetchall()}
    reasons = {}
    for name, spec in columns.items():
        if name in given:
            reasons[f"raw.{name} is not null and t.{name} is null"] = f"{name} cannot be read"
        if "needed" in spec:
            reasons[f"t.{name} is null"] = f"{name} is missing"
        if "codelist" in spec:
            codes = ", ".join(study.sql_literal(code) for code in study.codelist(spec["codelist"]))
            reasons[f"t.{name} not in ({codes})"] = f"{name} is not a known code"
    return reasons


def _refuse(con: "duckdb.DuckDBPyConnection", source: str, reasons: dict[str, str], patient: str) -> None:
    """Raise `Infeasible` with the first reason of the first patient for which a predicate holds."""
    flags = ", ".join(f"coalesce({predicate}, false)" for predicate in reasons)
    found = con.execute(f"""
        select coalesce(patient, '(none)'), list_position(flags, true) as reason
        from (select {patient} as patient, [{flags}] as flags from {source})
        where list_contains(flags, true) order by patient, reason limit 1
    """).fetchone()
    if found:
        raise Infeasible(found[0], list(reasons.values())[found[1] - 1])
