"""Every centre's staged tables equal the world that its files were written from: export.yaml against centre.yaml."""

from pathlib import Path

import pytest

from pipelines import centres, staging, study, warehouse
from pipelines.deliveries import intake, land, ledger
from pipelines.simulate import render, truth
from pipelines.warehouse import Home

FOLDER = study.ROOT / "centres"
NAMES = [path.parent.name for path in sorted(FOLDER.glob("[!_]*/centre.yaml"))]
COHORT = study.ROOT / "examples" / "reference_study"


@pytest.fixture(scope="module")
def world():
    """The reference study as tables `world.*`."""
    exports = [study.read_yaml(path) for path in sorted(FOLDER.glob("[!_]*/export.yaml"))]
    con = warehouse.memory()
    truth.build(con, COHORT / "cohort.csv", COHORT / "lesions.csv", 1, {e["unit"]: e["centre"] for e in exports})
    yield con
    con.close()


@pytest.fixture(scope="module", params=[(name, bulk) for name in NAMES for bulk in (False, True)], ids=str)
def staged(request, world, tmp_path_factory):
    """One centre, and the folder of its staged tables; `bulk`: from the CSV twins that a large cohort is written as."""
    name, bulk = request.param
    home = Home(tmp_path_factory.mktemp(name))
    render.render(world, FOLDER / name / "export.yaml", home.root, bulk)
    centre = centres.load(FOLDER / name)
    intake.intake(home, [name])
    delivery = ledger.read(home)[-1]
    land.land(home, centre, delivery)
    staging.stage(centre, home.landed / name / delivery.delivery_id, home.staged / name)
    return centre, home.staged / name


def test_staged_tables_hold_the_truth(world, staged):
    """Equal rows in every column that the mapping fills; a column that it does not fill is NULL throughout."""
    centre, folder = staged
    differences = {}
    for table, parts in centre.tables.items():
        filled = {f.name for part in parts for f in part.fields} - {"local_id"}
        filled |= {"usubjid"} | {c for part in parts for roll in part.rollups for c in roll.get("count", ())}
        columns = ", ".join(sorted(filled))
        staged_rows = f"select {columns} from read_parquet('{folder / f'{table}.parquet'}')"
        true_rows = f"select {columns} from world.{table} where centre = '{centre.name}'"
        wrong = world.execute(f"({staged_rows}) except all ({true_rows})").fetchall()
        lost = world.execute(f"({true_rows}) except all ({staged_rows})").fetchall()
        if wrong or lost:
            differences[table] = (columns, wrong[:3], lost[:3])
    assert differences == {}


def test_nothing_that_the_world_holds_is_left_out(world, staged):
    """Every table that the centre's world has rows of is mapped; single fractions may come as totals of their course."""
    centre, _ = staged
    held = {
        table
        for table in study.staged_tables()
        if world.execute(f"select count(*) from world.{table} where centre = '{centre.name}'").fetchall()[0][0]
    }
    totals = {f.name for part in centre.tables.get("courses", ()) for f in part.fields} >= {"delivered_dose_gy"}
    assert held - set(centre.tables) <= ({"fractions"} if totals else set())


def test_a_clean_delivery_raises_no_finding(world, staged):
    """No unmapped code, no unreadable value, no unknown column."""
    _, folder = staged
    found = world.execute(f"""
        select rule_id, table_name, field, count(*) from read_parquet('{folder / "findings.parquet"}')
        where rule_id <> 'structure/missing_file' group by all
    """).fetchall()
    assert found == []


def test_a_wrong_word_gives_a_finding_and_no_value(world, tmp_path: Path):
    """One code broken in an export.yaml: the value is NULL and asked for, every other row stays as it was."""
    name = NAMES[0]
    export = tmp_path / name / "export.yaml"
    export.parent.mkdir()
    text = (FOLDER / name / "export.yaml").read_text(encoding="utf-8")
    raw = study.read_yaml(FOLDER / name / "export.yaml")
    word = raw["codes"]["lesion_role"]["target"]
    assert word in text
