"""Thirty of our rules twice over the same tables: our one pass in DuckDB, and Great Expectations' own on pandas.

    python benchmarks/peers/rules.py HOME ENGINE       ENGINE is ours or gx; prints seconds and failing rows as JSON

Only the checking is timed: both find their tables in memory, and neither pays for its imports. Ours keeps every
failing row with its message, place and suggestion; Great Expectations keeps the failing values and their row numbers
(COMPLETE).
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["GX_ANALYTICS_ENABLED"] = "false"
import duckdb

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
DATES = "left join assessed.subject_dates d using (usubjid)"
DAY = "try_cast(nullif(regexp_extract(delivery_id, '\\d{4}-\\d{2}-\\d{2}'), '') as date) as day"
COURSE = "concat_ws('|', usubjid, centre, course_id) as course"
TARGET = "concat_ws('|', usubjid, centre, target_id) as target"
LESION = "concat_ws('|', usubjid, lesion_id) as lesion"
# the frames that a user of pandas would make of our tables
FRAMES = {
    "adverse_events": f"""select aestdt, aeendt, aetoxgr::double as aetoxgr, aetoxgr_txt, d.trtsdt
        from harmonised.adverse_events {DATES}""",
    "links": "select link_state from harmonised.links",
    "targets": f"select lesion_label, {COURSE} from harmonised.targets",
    "target_keys": f"select {TARGET} from harmonised.targets",
    "courses": f"select c.rtstdt, c.rtendt, d.trtsdt, {COURSE} from harmonised.courses c {DATES}",
    "subjects": "select age_years::double as age_years from harmonised.subjects",
    "measurements": f"select diameter_mm, trdt, {LESION}, {DAY} from harmonised.measurements",
    "lesions": f"select {LESION} from harmonised.lesions",
    "fractions": f"select dose_gy, fxdt, dayname(fxdt) as weekday, {COURSE}, {DAY} from harmonised.fractions",
    "restagings": f"select finding, response, field_relation, isodose_pct, {TARGET} from harmonised.restagings",
    "exposures": "select exstdt, exendt from harmonised.exposures",
    "followup": f"select fudt, death_dt, {DAY} from harmonised.followup",
    "screening": """select age_years::double as age_years, ecog::double as ecog, oligodt, brain_progressing_fl,
        n_progressing::double as n_progressing, n_new::double as n_new from validated.screening""",
}


def expectations(p: dict[str, Any], keys: Callable[[str, str], list[str]]) -> dict[str, tuple[str, list[Any]]]:
    """By rule: the frame, and the expectations that together say the same. A null value passes in Great Expectations
    unless it is forbidden, so some rules need two."""
    from great_expectations import expectations as gxe

    def when(condition: str) -> dict[str, str]:
        return {"row_condition": condition, "condition_parser": "pandas"}

    def follows(later: str, earlier: str) -> Any:
        return gxe.ExpectColumnPairValuesAToBeGreaterThanB(
            column_A=later, column_B=earlier, or_equal=True, ignore_row_if="either_value_is_missing"
        )

    def given(column: str, **more: str) -> Any:
        return gxe.ExpectColumnValuesToNotBeNull(column=column, **more)

    def within(column: str, low: float | None, high: float | None, **more: str) -> Any:
        return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high, **more)

    def never(column: str, *values: str, **more: str) -> Any:
        return gxe.ExpectColumnValuesToNotBeInSet(column=column, value_set=list(values), **more)

    def known(column: str, frame: str) -> Any:
        return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=keys(frame, column))

    asked = when("finding == 'progressed' or response == 'PD' or field_relation.notnull()")
    stated = when("field_relation in ['in_field', 'marginal', 'out']")
    progressed = when("oligodt.notnull()")
    grade = given("aetoxgr", **when("aetoxgr_txt.isnull()"))
    return {
        "ctcae/grade": ("adverse_events", [within("aetoxgr", 1, p["max_grade"]), grade]),
        "ctcae/grade_range": ("adverse_events", [given("aetoxgr", **when("aetoxgr_txt.notnull()"))]),
        "ctcae/onset_missing": ("adverse_events", [given("aestdt")]),
        "ctcae/onset_before_drug": ("adverse_events", [follows("aestdt", "trtsdt")]),
        "structure/adverse_event_dates": ("adverse_events", [follows("aeendt", "aestdt")]),
        "linkage/conflict": ("links", [never("link_state", "conflict")]),
        "linkage/unlinked": ("links", [never("link_state", "unlinked")]),
        "linkage/target_without_lesion_label": ("targets", [given("lesion_label")]),
        "structure/orphan_target": ("targets", [known("course", "courses")]),
        "linkage/radiotherapy_before_drug": ("courses", [follows("rtstdt", "trtsdt")]),
        "structure/course_dates": ("courses", [follows("rtendt", "rtstdt")]),
        "plausibility/age": ("subjects", [within("age_years", 0, p["max_age_years"])]),
        "plausibility/diameter": ("measurements", [within("diameter_mm", None, p["max_diameter_mm"])]),
        "structure/measurement_in_future": ("measurements", [follows("day", "trdt")]),
        "structure/orphan_measurement": ("measurements", [known("lesion", "lesions")]),
        "plausibility/fraction_dose": ("fractions", [within("dose_gy", None, p["max_fraction_gy"])]),
        "radiotherapy/weekend_fraction": ("fractions", [never("weekday", "Saturday", "Sunday")]),
        "structure/fraction_in_future": ("fractions", [follows("day", "fxdt")]),
        "structure/orphan_fraction": ("fractions", [known("course", "courses")]),
        "radiotherapy/field_relation_missing": (
            "restagings", [given("field_relation", **asked), never("field_relation", "unknown", **asked)]
        ),
        "radiotherapy/isodose_missing": ("restagings", [given("isodose_pct", **stated)]),
        "structure/orphan_restaging": ("restagings", [known("target", "target_keys")]),
        "structure/exposure_dates": ("exposures", [follows("exendt", "exstdt")]),
        "structure/followup_in_future": ("followup", [follows("day", "fudt")]),
        "structure/seen_after_death": ("followup", [follows("death_dt", "fudt")]),
        "eligibility/age": ("screening", [within("age_years", p["min_age_years"], None), given("age_years")]),
        "eligibility/ecog": ("screening", [within("ecog", 0, p["max_ecog"]), given("ecog")]),
        "eligibility/progressing_lesions": (
            "screening", [within("n_progressing", None, p["max_progressing_lesions"], **progressed)]
        ),
        "eligibility/new_lesions": ("screening", [within("n_new", None, p["max_new_lesions"], **progressed)]),
        "eligibility/brain_progressing": ("screening", [never("brain_progressing_fl", "Y")]),
    }  # fmt: skip


def great_expectations(home: Path) -> tuple[float, float, dict[str, int]]:
    """One suite a frame, validated by Great Expectations' pandas engine."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        frames = {name: con.execute(sql).df() for name, sql in FRAMES.items()}
    p = protocol(home)
    source = context.data_sources.add_pandas("frames")
    started = time.process_time(), time.perf_counter()
    rules = expectations(p, lambda frame, column: frames[frame][column].unique().tolist())
    failed = dict.fromkeys(rules, 0)
    for name in sorted({frame for frame, _ in rules.values()}):
        batch = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
        suite = gx.ExpectationSuite(name)
        for rule_id, (frame, wanted) in rules.items():
            for expectation in wanted if frame == name else ():
                expectation.meta = {"rule_id": rule_id}
                suite.add_expectation(expectation)
        done = batch.get_batch({"dataframe": frames[name]}).validate(suite, result_format="COMPLETE")
        for result in done.results:
            if any(part.get("raised_exception") for part in result.exception_info.values() if isinstance(part, dict)):
                sys.exit(f"{result.expectation_config.meta}: {result.exception_info}")
            failed[result.expectation_config.meta["rule_id"]] += int(result.result["unexpected_count"])
    return time.process_time() - started[0], time.perf_counter() - started[1], failed


def ours(home: Path) -> tuple[float, float, dict[str, int]]:
    """Our pass over the same rules and tables; what fails is counted before one question stands for several."""
    from pipelines.rules.load import load_rules, tables_read
    from pipelines.rules.run import run_rules
    from pipelines.rules.statements import failing

    named = expectations(protocol(home), lambda frame, column: [])
    rules = [rule for rule in load_rules() if rule.rule_id in named]
    con = duckdb.connect()
    con.execute(f"attach '{home / 'warehouse.duckdb'}' as full_home (read_only)")
    for name in tables_read(rules):
        schema, table = name.split(".")
        con.execute(f"create schema if not exists {schema}")
        source = f"full_home.{name}" if schema != "staged" else f"'{home}/staged/*/{table}.parquet'"
        con.execute(f"create table {name} as from {source}")
    started = time.process_time(), time.perf_counter()
    run_rules(con, rules)
    cpu, wall = time.process_time() - started[0], time.perf_counter() - started[1]
    return (
        cpu,
        wall,
        {r.rule_id: con.execute(f"select count(*) from ({failing([r], {})})").fetchall()[0][0] for r in rules},
    )


def protocol(home: Path) -> dict[str, Any]:
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        row = con.execute("from study.protocol")
        return dict(zip([column[0] for column in row.description], row.fetchall()[0], strict=True))


def main() -> None:
    home, engine = Path(sys.argv[1]).resolve(), sys.argv[2]
    cpu, wall, found = (ours if engine == "ours" else great_expectations)(home)
    print(json.dumps({"cpu": cpu, "wall": wall, "counts": dict(sorted(found.items()))}))


if __name__ == "__main__":
    main()
