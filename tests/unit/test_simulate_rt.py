"""What the radiotherapy centres' files hold, opened with the formats' own tools."""

import json
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import duckdb
import pydicom
import pytest

from pipelines import study, warehouse
from pipelines.simulate import truth
from pipelines.simulate.render import render

REFERENCE = study.ROOT / "examples" / "reference_study"
UNITS = {"A": "me1", "B": "me2", "C": "me3", "R1": "rt1", "R2": "rt2", "R3": "rt3", "R4": "rt4"}


@pytest.fixture(scope="module")
def world() -> duckdb.DuckDBPyConnection:
    con = warehouse.memory()
    truth.build(con, REFERENCE / "cohort.csv", REFERENCE / "lesions.csv", 1, UNITS)
    return con


def delivery(world: duckdb.DuckDBPyConnection, centre: str, out: Path, bulk: bool = False) -> Path:
    render(world, study.ROOT / "centres" / centre / "export.yaml", out, bulk)
    (folder,) = (out / "inbox" / centre).iterdir()
    return folder


def test_each_fractions_dose_comes_out_of_beam_dose_and_meterset(
    world: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    folder = delivery(world, "rt3", tmp_path) / "DICOM"
    plans = {}
    for path in folder.glob("RP.*"):
        plan = pydicom.dcmread(path)
        beams = plan.FractionGroupSequence[0].ReferencedBeamSequence
        plans[plan.SOPInstanceUID] = {b.ReferencedBeamNumber: b.get("BeamDose") for b in beams}
        assert str(plan.PatientName) == ""
    delivered: dict[tuple[str, str], list[Decimal]] = defaultdict(list)
    for path in folder.glob("RT.*"):
        record = pydicom.dcmread(path)
        doses = plans[record.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID]
        dose = sum(
            Decimal(str(doses[b.ReferencedBeamNumber]))
            * Decimal(str(b.DeliveredPrimaryMeterset))
            / Decimal(str(b.SpecifiedPrimaryMeterset))
            for b in record.TreatmentSessionBeamSequence
            if b.TreatmentDeliveryType == "TREATMENT"
        )
        delivered[record.PatientID, record.StudyID].append(round(Decimal(dose), 3))
    truth_rows = world.execute("""
        select printf('R3-%04d', subject_no), course_id, sum(dose_gy), count(*) from world.fractions
        where centre = 'rt3' group by all
    """).fetchall()
    assert {k: (sum(v), len(v)) for k, v in delivered.items()} == {(p, c): (d, n) for p, c, d, n in truth_rows}


def test_every_line_is_a_fhir_resource_of_its_file(world: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    files = sorted(delivery(world, "rt4", tmp_path).glob("*.ndjson"))
    assert {"Patient", "Procedure", "BodyStructure", "ServiceRequest"} <= {f.stem for f in files}
    for path in files:
        resources = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert {r["resourceType"] for r in resources} == {path.stem}


def test_a_field_stands_for_no_fraction(world: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    lines = (delivery(world, "rt1", tmp_path) / "ARIA_trattamenti.csv").read_bytes().decode("cp1252").splitlines()
    (n_fractions,) = world.execute("select count(*) from world.fractions where centre = 'rt1'").fetchall()[0]
    assert lines[3].startswith("PatientId;CourseId;") and len(lines) - 4 > 2 * n_fractions


@pytest.mark.parametrize("centre", ["rt1", "rt2", "rt3", "rt4"])
@pytest.mark.parametrize("bulk", [False, True])
def test_equal_worlds_give_equal_bytes(
    world: duckdb.DuckDBPyConnection, tmp_path: Path, centre: str, bulk: bool
) -> None:
    manifests = [delivery(world, centre, tmp_path / n, bulk) / "manifest.yaml" for n in ("first", "second")]
    assert manifests[0].read_bytes() == manifests[1].read_bytes()
    assert not bulk or not list(manifests[0].parent.glob("*.xlsx")) + list(manifests[0].parent.rglob("*.dcm"))
