"""A defect is written down at the place where it must be asked for, in a hospital's own format and in its CSV twin."""

from contextlib import closing
from pathlib import Path

import pytest
from delivered import rows

from pipelines import centres, study, warehouse
from pipelines.deliveries import intake, land, ledger
from pipelines.simulate import render, truth
from pipelines.simulate.cohort import random_cohort
from pipelines.simulate.simulate import PLACES
from pipelines.staging import stage
from pipelines.warehouse import Home

FOLDER = study.ROOT / "centres"
RULE = "structure/two_contents"


@pytest.mark.parametrize("bulk", [False, True])
def test_a_second_content_is_asked_for_where_it_was_planted(tmp_path: Path, bulk: bool) -> None:
    """Of a CSV the truth once named the line of the copy, while the question names the first line of the identifier."""
    home, name = Home(tmp_path / "home"), "rt3"
    units = {e["unit"]: e["centre"] for e in map(study.read_yaml, sorted(FOLDER.glob("[!_]*/export.yaml")))}
    with closing(warehouse.memory()) as con:
        cohort, lesions = random_cohort(con, 90, 7, tmp_path)
        truth.build(con, cohort, lesions, 1, units)
        con.execute(PLACES)
        render.render(con, FOLDER / name / "export.yaml", home.root, bulk, 0.05)
        planted = con.execute(f"""
            select source_file, source_row, field from world.defects where rule_id = '{RULE}' order by all
        """).fetchall()
    intake.intake(home, [name])
    (delivery,) = ledger.read(home)
    land.land(home, centres.load(FOLDER / name), delivery)
    stage(centres.load(FOLDER / name), home.landed / name / delivery.delivery_id, home.staged / name)
    found = rows(home.staged / name / "findings.parquet", "source_file, source_row, field", f"rule_id = '{RULE}'")
    assert planted
    assert sorted(found) == planted
