"""How well the pipeline finds planted defects, by (centre, source file, source row, field, rule)."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.simulate.defect_entries import kinds
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

HERE = "f.centre = d.centre and f.source_file = d.source_file and f.source_row = d.source_row and f.field = d.field"


def score(con: "duckdb.DuckDBPyConnection", spoiled: str, clean: str, truth: Path) -> dict[str, Any]:
    """Score `<spoiled>.validated.findings` on `truth` (`truth/defects.csv`), beside the same cohort without defects.

    `spoiled` and `clean` are the databases of two warehouses attached to `con`. Returns `planted` and `found` in all
    and by family of the rule, `kinds`, `missed` (the defects without their finding), `findings` of rules that the clean
    run does not raise, `beside`, those of them that point at a clean field, and `follows`, what else excludes a subject
    with a defect that bears on how others of its records are judged (docs/decisions/0087).
    """
    bearing = ", ".join(lit(name) for name, kind in kinds().items() if kind.get("alone", True))
    con.execute(f"""
        create or replace temp table defect as
        select d.*, exists (from {spoiled}.validated.findings f where {HERE} and f.rule_id = d.rule_id) as is_found
        from read_csv({lit(str(truth))}, all_varchar = true, header = true) d;
        create or replace temp table raised as
        select
            f.*, exists (from defect d where {HERE}) as is_planted,
            f.severity = 'exclude' and f.usubjid in (
                select f.usubjid from {spoiled}.validated.findings f
                join defect d on {HERE} and f.rule_id = d.rule_id where d.defect_kind in ({bearing})
            ) as is_following
        from {spoiled}.validated.findings f
        where f.rule_id not in (select rule_id from {clean}.validated.findings);
    """)
    families = con.execute("""
        select split_part(rule_id, '/', 1), count(*), count(*) filter (is_found) from defect group by all order by all
    """).fetchall()
    missed = con.execute("select * exclude (is_found) from defect where not is_found order by all").fetchall()
    unplanted = con.execute("""
        select is_following, [rule_id, centre, source_file, source_row, field]
        from raised where not is_planted order by all
    """).fetchall()
    return {
        "families": {family: {"planted": n, "found": k} for family, n, k in families},
        "planted": sum(n for _, n, _ in families),
        "found": sum(k for *_, k in families),
        "kinds": con.execute("select count(distinct defect_kind) from defect").fetchall()[0][0],
        "missed": missed,
        "beside": [tuple(place) for is_following, place in unplanted if not is_following],
        "follows": [tuple(place) for is_following, place in unplanted if is_following],
        "findings": con.execute("select count(*) from raised").fetchall()[0][0],
    }
