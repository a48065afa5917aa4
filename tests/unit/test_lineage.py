"""What a column is made from: read from the SQL, said to Dagster, and nothing that is not so."""

import json
import os
from pathlib import Path

import pytest

os.environ.setdefault("DAGSTER_HOME", "")

import dagster as dg

from pipelines import models, study, warehouse
from pipelines.orchestration import columns, lineage
from pipelines.orchestration.session import all_centres

M = "harmonised.measurements"
CASES = {
    "star": (f"select * replace (trdt as usubjid), diameter_mm as age_years from {M}", ["diameter_mm"]),
    "from first": (f"from (from {M} select diameter_mm as age_years)", ["diameter_mm"]),
    "common table": (f"with a as (select * exclude (method), slice_mm as s from {M}) select s as age_years from a",
        ["slice_mm"]),
    "alias of its own select": (f"select diameter_mm * 2 as twice, twice + visitnum as age_years from {M}",
        ["diameter_mm", "visitnum"]),
    "struct": (f"with a as (select max(struct_pack(x := trdt, y := visitnum)) as p from {M}) "
        "select p.y as age_years from a", ["trdt", "visitnum"]),
    "lambda": (f"select list_transform(list(diameter_mm), lambda x: x + 1)[1] as age_years from {M} group by usubjid",
        ["diameter_mm"]),
    "unnest": (f"with a as (select unnest([diameter_mm, slice_mm]) as v from {M}) select v as age_years from a",
        ["diameter_mm", "slice_mm"]),
    "union": (f"select visitnum as age_years from {M} union all select slice_mm from {M}", ["slice_mm", "visitnum"]),
    "union by name": (f"select a.age_years from (select 1 as n, visitnum as k from {M} union all by name "
        f"select slice_mm as age_years, 2 as n from {M}) a", ["slice_mm"]),
    "three unions by name": (f"select age_years from (select 1 as n from {M} union all by name "
        f"select visitnum as age_years from {M} union all by name select slice_mm as age_years from {M})",
        ["slice_mm", "visitnum"]),
    "unpivot": (f"with a as (select usubjid, diameter_mm, slice_mm from {M}) select v as age_years from a "
        "unpivot (v for k in (diameter_mm, slice_mm))", ["diameter_mm", "slice_mm"]),
    "window": (f"select max(visitnum) over w as age_years from {M} window w as (partition by usubjid)",
        ["usubjid", "visitnum"]),
    "qualify": (f"select diameter_mm as age_years from {M} qualify row_number() over (order by trdt) = 1",
        ["diameter_mm"]),
    "group by all": (f"select usubjid, median(diameter_mm) as age_years from {M} group by all", ["diameter_mm"]),
    "filter": (f"select count(*) filter (method = 'CT') as age_years from {M}", ["method"]),
    "subquery": (f"select (select max(visitnum) from {M}) as age_years", ["visitnum"]),
    "join using": (f"select a.diameter_mm as age_years from {M} a semi join {M} b using (usubjid)", ["diameter_mm"]),
    "columns": (f"select columns('diameter_mm|method') as age_years from {M}", None),
    "count": (f"select count(*) as age_years from {M}", []),
    "a function that gives rows": (f"select r.range as age_years from {M}, range(3) r", None),
    "a table that is not the study's": ("select length(catalog_name) as age_years from information_schema.schemata",
        None),
}  # fmt: skip
# columns of SQL models that are made from no column, each because of what it is
COUNTS = {
    "assessed.nontarget_states.n_nontargets", "assessed.target_sums.n_targets", "reports.response_counts.n",
    "reports.spider.n_all", "reports.spider.n_measured", "reports.swimmer.n_all", "reports.table1.denominator",
    "reports.toxicity_counts.n_any",
}  # fmt: skip
# the same word, flag or NULL in every row of one branch of the SQL
FIXED_WORDS = {
    "assessed.adrs.eval", "assessed.adrs.paramcd", "assessed.adrs_alternatives.paramcd",
    "assessed.adrs_readers.paramcd", "assessed.lesion_parts.kind",
    "assessed.lesion_progressions.new_lesion_fl", "assessed.series_visits.series",
    "derived.course_starts.srcdom", "derived.course_starts.srcvar", "derived.reader_pairs.paramcd",
    "derived.reported_dates.date_name", "derived.subject_sites.baseline_fl", "derived.subject_sites.oligo_fl",
    "derived.subject_sites.treated_fl", "derived.worst_grades.term_level", "reports.exposure.section",
    "reports.forest.section", "reports.forest.whole_fl", "reports.recurrences.grouping",
    "reports.response_counts.grouping", "reports.response_counts.response_basis", "reports.spider.series",
    "reports.table1.section", "reports.table3.section", "reports.table3.value", "reports.table3.value_max",
    "reports.table3.value_min",
}  # fmt: skip


def read(folder: Path, sql: str) -> models.Model:
    path = folder / "4_derived" / "adsl.sql"
    path.parent.mkdir()
    path.write_text(sql, encoding="utf-8")
    return models.read_model(path, warehouse.memory())


@pytest.mark.parametrize("case", CASES)
def test_what_duckdb_can_say_is_followed_to_the_stored_columns(tmp_path: Path, case: str) -> None:
    sql, wanted = CASES[case]
    with warehouse.memory() as con:
        con.execute("create schema harmonised")
        declared = ", ".join(f"{c.name} {c.sql_type}" for c in study.tables()[M].columns)
        con.execute(f"create table {M} ({declared}); {sql}")  # it is SQL that runs
    found = lineage.origins_of(read(tmp_path, sql)).get("age_years")
    assert found == (None if wanted is None else tuple(f"{M}.{c}" for c in wanted))


@pytest.fixture(scope="module")
def origins(tmp_path_factory: pytest.TempPathFactory) -> dict[str, lineage.Origins]:
    return lineage.load_origins(tmp_path_factory.mktemp("lineage") / lineage.NAME)


def roots(origins: dict[str, lineage.Origins], column: str) -> set[str]:
    """What a column is made from in the end: staged columns, and words of the study."""
    table, _, name = column.rpartition(".")
    made_from = origins.get(table, {}).get(name)
    return {column} if made_from is None else set().union(*(roots(origins, o) for o in made_from))


def test_known_columns_are_made_from_what_their_sql_says(origins: dict[str, lineage.Origins]) -> None:
    assert origins["derived.adtte"]["aval_months"] == (
        "derived.endpoint_times.adt", "derived.endpoint_times.startdt", "study.protocol.days_per_month",
    )  # fmt: skip
    assert origins["harmonised.measurements"]["diameter_mm"] == ("staged.measurements.diameter_mm",)
    assert origins["reports.response_by_anatomic_site"]["n_cr"] == ("reports.response_rates.n_cr",)
    assert origins["derived.adae"]["usubjid"] == ("harmonised.adverse_events.usubjid",)
    assert "derived.treated_sites.response" in origins["reports.response_counts"]["n_cr"]


def test_a_figure_of_table_ii_comes_from_what_the_centres_send(origins: dict[str, lineage.Origins]) -> None:
    assert "staged.measurements.diameter_mm" in roots(origins, "reports.response_by_anatomic_site.n_cr")
    assert "staged.adverse_events.aetoxgr" in roots(origins, "reports.table3.n")
    assert "staged.measurements.diameter_mm" not in roots(origins, "derived.adsl.sex")


def test_every_column_of_every_model_is_followed_and_those_of_no_column_are_counts_or_fixed_words(
    origins: dict[str, lineage.Origins],
) -> None:
    declared = {f"{m.full_name}.{c.name}" for m in models.load().values() for c in m.table.columns}
    followed = {f"{table}.{c}" for table, found in origins.items() for c in found}
    assert declared - followed == set()
    bare = {f"{table}.{c}" for table, found in origins.items() for c, made_from in found.items() if not made_from}
    assert bare == COUNTS | FIXED_WORDS
    assert len(bare) < len(declared) / 20


def test_an_origin_is_a_column_of_a_table_that_the_model_reads(origins: dict[str, lineage.Origins]) -> None:
    known = {**lineage.shapes(), **lineage._study_words()}
    for name, model in models.load().items():
        for made_from in origins[name].values():
            for table, _, column in (o.rpartition(".") for o in made_from):
                assert table in model.deps and column in known[table], (name, table, column)


def test_what_runs_the_same_sql_again_has_its_lineage_from_what_it_reads(origins: dict[str, lineage.Origins]) -> None:
    from pipelines import alternatives, independent

    for table, reads in ((alternatives.TABLE, alternatives.reads()), (independent.TABLE, independent.reads())):
        named = {o.rpartition(".")[0] for o in origins[table]["avalc"]}
        assert named and named <= set(reads)
    assert "harmonised.reader_measurements.diameter_mm" in origins[independent.TABLE]["avalc"]
    assert not any(o.startswith("harmonised.measurements.") for o in origins[independent.TABLE]["avalc"])
    assert "reports.survival_curve" not in origins


def test_what_was_found_is_kept_until_the_sql_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = lineage.origins_of
    monkeypatch.setattr(lineage, "origins_of", lambda model: asked.append(model.full_name) or real(model))
    path = tmp_path / lineage.NAME
    first = lineage.load_origins(path)
    assert len(asked) == len(models.load())
    assert lineage.load_origins(path) == first
    assert len(asked) == len(models.load())
    kept = json.loads(path.read_text(encoding="utf-8"))
    del kept[lineage._digest(models.load()["derived.adtte"])]
    path.write_text(json.dumps(kept), encoding="utf-8")
    assert lineage.load_origins(path) == first
    assert asked[len(models.load()) :] == ["derived.adtte"]


def test_a_damaged_note_of_what_was_found_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "lineage.json"
    path.write_text('{"half', encoding="utf-8")
    assert lineage.load_origins(path) and json.loads(path.read_text(encoding="utf-8"))


def test_dagster_is_told_of_columns_that_its_assets_have(origins: dict[str, lineage.Origins]) -> None:
    centres = all_centres()
    schemas = {dg.AssetKey(["staged", c]): columns.staged_schema(about) for c, about in centres.items()}
    schemas |= {columns.asset_key(name): columns.column_schema(name) for name in study.tables()}
    names = {key: {c.name for c in schema.columns} for key, schema in schemas.items()}
    n = 0
    for name, found in origins.items():
        for column, deps in columns.column_lineage(found, centres).deps_by_column.items():
            assert column in names[columns.asset_key(name)]
            for dep in deps:
                assert dep.column_name in names[dep.asset_key], (name, column, dep)
                n += 1
    assert n > 1000


def test_a_staged_column_is_that_of_the_centres_that_send_it(origins: dict[str, lineage.Origins]) -> None:
    centres = all_centres()
    said = columns.column_lineage(origins["harmonised.measurements"], centres).deps_by_column["diameter_mm"]
    assert {d.column_name for d in said} == {"measurements.diameter_mm"}
    senders = {
        c
        for c, a in centres.items()
        if any(f.name == "diameter_mm" for p in a.tables.get("measurements", ()) for f in p.fields)
    }
    assert {d.asset_key.path[1] for d in said} == senders and 0 < len(senders) < len(centres)
