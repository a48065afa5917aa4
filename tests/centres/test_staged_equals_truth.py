"""Every centre's staged tables equal the world that its files were written from: export.yaml against centre.yaml."""

from pathlib import Path

import pytest
import yaml

from pipelines import centres, staging, study, warehouse
from pipelines.deliveries import intake, land, ledger
from pipelines.simulate import render, truth
from pipelines.simulate.cohort import random_cohort
from pipelines.warehouse import Home

FOLDER = study.ROOT / "centres"
NAMES = [path.parent.name for path in sorted(FOLDER.glob("[!_]*/centre.yaml"))]
COHORT = study.ROOT / "examples" / "reference_study"


@pytest.fixture(scope="module", params=["reference", "random", "random_bulk"])
def kind(request) -> str:
    """The reference study; invented patients, who need more words; these as the CSV twins of a large cohort."""
    return request.param


@pytest.fixture(scope="module")
def world(kind, tmp_path_factory):
    """Tables `world.*`."""
    units = {e["unit"]: e["centre"] for e in map(study.read_yaml, sorted(FOLDER.glob("[!_]*/export.yaml")))}
    con = warehouse.memory()
    cohort, lesions = COHORT / "cohort.csv", COHORT / "lesions.csv"
    if kind != "reference":
        cohort, lesions = random_cohort(con, 60, 7, tmp_path_factory.mktemp("cohort"))
    truth.build(con, cohort, lesions, 1, units)
    yield con
    con.close()


def take_in(world, name: str, export: Path, home: Home, bulk: bool) -> tuple[centres.Centre, Path]:
    """Write one centre's delivery, archive, land and stage it; the centre and the folder of its staged tables."""
    render.render(world, export, home.root, bulk)
    centre = centres.load(FOLDER / name)
    intake.intake(home, [name])
    delivery = ledger.read(home)[-1]
    land.land(home, centre, delivery)
    staging.stage(centre, home.landed / name / delivery.delivery_id, home.staged / name)
    return centre, home.staged / name


@pytest.fixture(scope="module", params=NAMES)
def staged(request, kind, world, tmp_path_factory):
    """One centre and its staged tables."""
    name, bulk = request.param, kind == "random_bulk"
    return take_in(world, name, FOLDER / name / "export.yaml", Home(tmp_path_factory.mktemp(name)), bulk)


def comparable(columns: set[str], rows: str) -> str:
    """Rows with courses by their order within the subject, because a centre names them in its own way."""
    named = "dense_rank() over (partition by usubjid order by try_cast(course_id as integer), course_id)"
    listed = (f"{named} as course_id" if c == "course_id" else c for c in sorted(columns))
    return f"select {', '.join(listed)} from {rows}"


def test_staged_tables_hold_the_truth(world, staged):
    """Equal rows in every column that the mapping fills, and nothing in the others."""
    centre, folder = staged
    differences = {}
    for table, parts in centre.tables.items():
        rows = f"read_parquet('{folder / f'{table}.parquet'}')"
        filled = {f.name for part in parts for f in part.fields if not f.name.startswith("_")} - {"local_id"}
        filled |= {"usubjid"} | {c for part in parts for roll in part.rollups for c in roll.get("count", ())}
        staged_rows = comparable(filled, rows)
        true_rows = comparable(filled, f"world.{table} where centre = '{centre.name}'")
        wrong = world.execute(f"({staged_rows}) except all ({true_rows})").fetchall()
        lost = world.execute(f"({true_rows}) except all ({staged_rows})").fetchall()
        others = study.staged_columns(table).keys() - filled - {"local_id", *study.PROVENANCE}
        beside = [c for c in others if world.execute(f"select count({c}) from {rows}").fetchall() != [(0,)]]
        if wrong or lost or beside:
            differences[table] = (sorted(filled), wrong[:3], lost[:3], beside)
    assert differences == {}


def test_nothing_that_the_world_holds_is_left_out(world, staged):
    """Every table that the centre's world has rows of is mapped; fractions may come as totals of their course."""
    centre, _ = staged
    # the simulator knows no independent readers
    made = {
        name
        for (name,) in world.execute("select table_name from duckdb_tables() where schema_name = 'world'").fetchall()
    }
    assert study.staged_tables().keys() - made == {"reader_lesions", "reader_measurements"}
    held = {
        table
        for table in made & study.staged_tables().keys()
        if world.execute(f"select count(*) from world.{table} where centre = '{centre.name}'").fetchall()[0][0]
    }
    totals = {f.name for part in centre.tables.get("courses", ()) for f in part.fields} >= {"delivered_dose_gy"}
    assert held - set(centre.tables) <= ({"fractions"} if totals else set())


def test_a_clean_delivery_raises_no_finding(world, staged):
    """No unmapped code, no unreadable value, no unknown column; hidden rows are data, and noted."""
    _, folder = staged
    found = world.execute(f"""
        select rule_id, table_name, field, count(*) from read_parquet('{folder / "findings.parquet"}')
        where rule_id not in ('structure/missing_file', 'structure/hidden_row') group by all
    """).fetchall()
    assert found == []


def test_a_wrong_word_gives_a_finding_and_no_value(world, tmp_path: Path):
    """A word of an export.yaml that the mapping does not know: NULL and asked for, never another value."""
    name = "me2"
    raw = study.read_yaml(FOLDER / name / "export.yaml")
    raw["codes"]["lesion_role"]["target"] = "bersaglio"
    export = tmp_path / name / "export.yaml"
    export.parent.mkdir()
    export.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    _, folder = take_in(world, name, export, Home(tmp_path / "home"), bulk=False)
    lesions, findings = (f"read_parquet('{folder / f'{t}.parquet'}')" for t in ("lesions", "findings"))
    roles = "select count(*) filter (lesion_role = 'target'), count(*) filter (lesion_role is null) from"
    n_target, n_null = world.execute(f"{roles} {lesions}").fetchall()[0]
    (expected,) = world.execute(f"{roles} world.lesions where centre = '{name}'").fetchall()
    assert (n_target, n_null) == (0, expected[0])
    asked = world.execute(f"""
        select rule_id, field, value_received, count(*) from {findings}
        where rule_id <> 'structure/hidden_row' group by all
    """).fetchall()
    assert asked == [("structure/unmapped_code", "Ruolo", "bersaglio", expected[0])]
