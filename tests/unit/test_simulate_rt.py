"""What the radiotherapy centres' files hold, opened with the formats' own tools."""

import csv
import json
import re
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

import duckdb
import pydicom
import pytest

from pipelines import study, warehouse
from pipelines.readers.read import read
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


@pytest.mark.parametrize("beside_plan_gy", ["0", "0.001", "-0.777"])
def test_each_fractions_dose_comes_out_of_beam_dose_and_meterset(
    world: duckdb.DuckDBPyConnection, tmp_path: Path, beside_plan_gy: str
) -> None:
    world.execute("begin")
    try:
        world.execute(
            f"update world.fractions set dose_gy = dose_gy + {beside_plan_gy} where centre = 'rt3' and fraction_no = 1"
        )
        assert_doses_recompute(world, tmp_path)
    finally:
        world.rollback()


def assert_doses_recompute(world: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    folder = delivery(world, "rt3", tmp_path) / "DICOM"
    plans = {}
    for path in folder.glob("RP.*"):
        plan = pydicom.dcmread(path, force=True)
        beams = plan.FractionGroupSequence[0].ReferencedBeamSequence
        plans[plan.SOPInstanceUID] = {b.ReferencedBeamNumber: b.get("BeamDose") for b in beams}
        assert str(plan.PatientName) == ""
    delivered: dict[tuple[str, str], dict[int, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    # a file may have no preamble, and come twice
    records = {r.SOPInstanceUID: r for r in (pydicom.dcmread(path, force=True) for path in folder.glob("RT.*"))}
    for record in records.values():
        doses = plans[record.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID]
        dose = sum(
            Decimal(str(doses[b.ReferencedBeamNumber]))
            * Decimal(str(b.DeliveredPrimaryMeterset))
            / Decimal(str(b.SpecifiedPrimaryMeterset))
            for b in record.TreatmentSessionBeamSequence
            if b.TreatmentDeliveryType in ("TREATMENT", "CONTINUATION")
        )
        number = record.TreatmentSessionBeamSequence[0].CurrentFractionNumber
        delivered[record.PatientID, record.StudyID][number] += dose
    assert len(records) > sum(map(len, delivered.values())), "a session that was resumed is two records"
    truth_rows = world.execute("""
        select printf('R3-%04d', subject_no), course_id, sum(dose_gy), count(*) from world.fractions
        where centre = 'rt3' group by all
    """).fetchall()
    sums = {k: (sum(round(d, 3) for d in v.values()), len(v)) for k, v in delivered.items()}
    assert sums == {(p, c): (d, n) for p, c, d, n in truth_rows}


def test_every_line_is_a_fhir_resource_of_its_file(world: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    files = sorted(delivery(world, "rt4", tmp_path).glob("*.ndjson"))
    assert {"Patient", "Condition", "Procedure", "BodyStructure", "ServiceRequest"} <= {f.stem for f in files}
    ids, versions, references = set(), set(), set()
    for path in files:
        lines = path.read_text(encoding="utf-8").splitlines()
        resources = [json.loads(line) for line in lines]
        assert {r["resourceType"] for r in resources} == {path.stem}
        patients = [re.search(r"ck-\d{4}", line) for line in lines]
        assert (named := [p.group() for p in patients if p]) == sorted(named) and len(named) == len(lines)
        # FHIR knows no null, only members that are not there
        assert not any(":null" in line or "[null" in line or ",null" in line for line in lines)
        ids |= {f"{path.stem}/{r['id']}" for r in resources}
        versions |= {(path.stem, r["id"], r["meta"]["versionId"]) for r in resources}
        references |= {name for line in lines for name in re.findall(r'"reference":"([^"]*)"', line)}
    assert len(versions) == sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files)
    assert references and references <= ids


def test_a_course_has_one_summary_and_one_phase(world: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    lines = (delivery(world, "rt4", tmp_path) / "Procedure.ndjson").read_text(encoding="utf-8").splitlines()
    # besides, older versions and what was entered in error
    newest = {r["id"]: r for r in map(json.loads, lines) if r["meta"]["versionId"] == "10"}
    assert len(newest) < len(lines)
    found = Counter(r["meta"]["profile"][-1].rpartition("-radiotherapy-")[2] for r in newest.values())
    (n_courses,) = world.execute("select count(*) from world.courses where centre = 'rt4'").fetchall()[0]
    assert found == {"course-summary": n_courses, "treated-phase": n_courses}


def test_a_field_stands_for_no_fraction(world: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    lines = (delivery(world, "rt1", tmp_path) / "ARIA_trattamenti.csv").read_bytes().decode("cp1252").splitlines()
    (n_fractions,) = world.execute("select count(*) from world.fractions where centre = 'rt1'").fetchall()[0]
    rows = lines[4:-1]
    assert lines[3].startswith("PatientId;CourseId;") and len(rows) > 2 * n_fractions
    assert lines[-1].startswith(f"Totale;{len(rows)};")


@pytest.mark.parametrize("centre", ["rt1", "rt2", "rt3", "rt4"])
def test_every_line_of_a_table_has_as_many_cells_as_its_header(
    world: duckdb.DuckDBPyConnection, tmp_path: Path, centre: str
) -> None:
    export = study.read_yaml(study.ROOT / "centres" / centre / "export.yaml")
    folder = delivery(world, centre, tmp_path, bulk=True)
    for file in [f for f in export["files"] if f["format"] == "csv"] + export.get("bulk", []):
        how = file.get("write", {})
        text = (folder / file["path"]).read_bytes().decode(how.get("encoding", "utf-8"))
        rows = csv.reader(text.splitlines()[len(how.get("preamble", [])) :], delimiter=how.get("delimiter", ","))
        assert len({len(row) for row in rows}) == 1, file["path"]


@pytest.mark.parametrize(("part", "modality", "prefix"), [("plan", "RTPLAN", "RP"), ("record", "RTRECORD", "RT")])
def test_the_twin_of_dicom_is_what_the_reader_makes_of_it(
    world: duckdb.DuckDBPyConnection, tmp_path: Path, part: str, modality: str, prefix: str
) -> None:
    folder = delivery(world, "rt3", tmp_path / "dicom") / "DICOM"
    files = [(path.name, path) for path in sorted(folder.glob(f"{prefix}.*"))]
    columns = read(files, {"format": "dicom", "modality": modality}).drop_columns(["source_file", "source_row"])
    twin = delivery(world, "rt3", tmp_path / "twin", bulk=True) / f"RT3_{part}_beams.csv"
    with twin.open(encoding="utf-8", newline="") as file:
        expected = [{name: value or None for name, value in row.items()} for row in csv.DictReader(file)]
    assert expected and by_beam(columns.to_pylist()) == by_beam(expected)


def by_beam(rows: list[dict[str, str | None]]) -> dict[tuple[str | None, str | None], dict[str, str | None]]:
    return {(row["SOPInstanceUID"], row["BeamNumber"]): row for row in rows}


@pytest.mark.parametrize("centre", ["rt1", "rt2", "rt3", "rt4"])
@pytest.mark.parametrize("bulk", [False, True])
def test_equal_worlds_give_equal_bytes(
    world: duckdb.DuckDBPyConnection, tmp_path: Path, centre: str, bulk: bool
) -> None:
    manifests = [delivery(world, centre, tmp_path / n, bulk) / "manifest.yaml" for n in ("first", "second")]
    assert manifests[0].read_bytes() == manifests[1].read_bytes()
    assert not bulk or not list(manifests[0].parent.glob("*.xlsx")) + list(manifests[0].parent.rglob("*.dcm"))
