"""A rule that cannot run is a fault of ours: it is named with its file, the others go on, and the command says so."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from html import unescape
from pathlib import Path

import duckdb
import pytest

from pipelines import study

COPIED = ("centres", "expectations", "pipelines", "sql", "study")
MAIN = "from pipelines.cli.main import main; main()"


def restage(house: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, of a copy of the house."""
    return subprocess.run(
        [sys.executable, "-c", MAIN, *words], cwd=house, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(house)},
    )  # fmt: skip


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path, Path]:
    """One run in a house of which six rules are broken, each in its own way."""
    house = tmp_path_factory.mktemp("house")
    for name in COPIED:
        shutil.copytree(study.ROOT / name, house / name, ignore=shutil.ignore_patterns("__pycache__"))
    rules = house / "expectations"
    edit(rules / "plausibility/fraction_dose.yaml", "t.dose_gy > p.max_fraction_gy", "t.dose_gy > p.max_fraction_dose")
    edit(rules / "plausibility/diameter.yaml", "table: harmonised.measurements", "table: harmonised.measures")
    edit(rules / "eligibility/ecog.yaml", "fails: [{ecog: 2}]", "fails: [{ecog: 1}]")
    edit(rules / "ctcae/grade_range.yaml", "severity: note", "severity: [note")
    edit(rules / "recist/sum_differs.yaml", "{value} mm;", "{value};")
    edit(rules / "recist/sum_differs.yaml", "reads: [assessed.target_sums]", "reads: [assessed.sums]")
    edit(
        rules / "plausibility/published_figures.yaml",
        "type: expect_column_values_to_be_in_set",
        "type: expect_the_moon",
    )
    home = house / "home"
    made = restage(house, "simulate", "--patients", "9", "--seed", "1", "--out", str(home))
    assert made.returncode == 0, made.stderr
    return restage(house, "run", "--home", str(home)), home, house


BROKEN = {
    "plausibility/fraction_dose": "max_fraction_dose",
    "plausibility/diameter": "'harmonised.measures' is not a declared table; did you mean 'harmonised.measurements'?",
    "eligibility/ecog": "example 1 under `fails` does not hold: pass",
    "ctcae/grade_range": "not valid YAML",
    "recist/sum_differs": "'assessed.sums' is not a declared table",
}
NATIVE = {"plausibility/published_figures": "Great Expectations knows no expect_the_moon"}


@pytest.mark.parametrize("rule_id", BROKEN)
def test_the_run_names_rule_and_file(run: tuple[subprocess.CompletedProcess[str], Path, Path], rule_id: str) -> None:
    said, home, _ = run
    assert said.returncode == 1, said.stderr
    (line,) = [line for line in said.stderr.splitlines() if line.startswith(f"rule {rule_id} could not run: ")]
    assert f"{rule_id}.yaml" in line and BROKEN[rule_id] in line
    with closing(duckdb.connect(str(home / "warehouse.duckdb"), read_only=True)) as con:
        counts = con.execute("select distinct status from validated.rule_counts where rule_id = ?", [rule_id])
        assert counts.fetchall() == [("error",)]


def test_a_rule_that_great_expectations_cannot_run_is_named_as_well(
    run: tuple[subprocess.CompletedProcess[str], Path, Path],
) -> None:
    """It has no counts, because Great Expectations looks at its table itself."""
    said, home, house = run
    named = "rule plausibility/published_figures could not run: expectations/plausibility/published_figures.yaml: "
    for done in (said, restage(house, "run", "--home", str(home))):
        assert done.returncode == 1
        (line,) = [line for line in done.stderr.splitlines() if line.startswith(named)]
        assert line.endswith(NATIVE["plausibility/published_figures"])


def test_the_rest_is_finished(run: tuple[subprocess.CompletedProcess[str], Path, Path]) -> None:
    _, home, _ = run
    with closing(duckdb.connect(str(home / "warehouse.duckdb"), read_only=True)) as con:
        wrong = con.execute("select distinct rule_id from validated.rule_counts where status = 'error' order by all")
        assert [rule_id for (rule_id,) in wrong.fetchall()] == sorted(BROKEN)
        assert con.execute("select count(*) from validated.rule_counts where status = 'pass'").fetchall()[0][0] > 50
        # an exclusion that was not judged lets nobody in
        states = con.execute("select distinct status from validated.eligibility").fetchall()
        assert ("eligible",) not in states and states
    # the overview is made last, when Great Expectations has looked as well
    for page, broken in (("index.html", {**BROKEN, **NATIVE}), ("study/report.html", BROKEN)):
        shown = unescape((home / "reports" / page).read_text(encoding="utf-8"))
        assert f"{len(broken)} rules could not run" in shown
        listed = shown[: shown.index("rules without a failure")]
        for rule_id, why in broken.items():
            assert f"{rule_id}.yaml" in listed and why in listed


def test_status_names_every_rule_that_could_not_run(
    run: tuple[subprocess.CompletedProcess[str], Path, Path],
) -> None:
    _, home, house = run
    said, told = (restage(house, "status", "--home", str(home), *more) for more in ([], ["--json"]))
    assert said.returncode == told.returncode == 0, said.stderr
    found = {each["rule_id"]: each["problem"] for each in json.loads(told.stdout)["broken_rules"]}
    assert found.keys() == {**BROKEN, **NATIVE}.keys()
    for rule_id, why in {**BROKEN, **NATIVE}.items():
        assert f"{rule_id}.yaml" in found[rule_id] and why in found[rule_id]
        assert f"rule {rule_id} could not run: {found[rule_id]}" in said.stdout


def test_the_fault_stays_until_it_is_mended(run: tuple[subprocess.CompletedProcess[str], Path, Path]) -> None:
    """A second run has nothing to do and still says 1; with the files mended all is well."""
    _, home, house = run
    again = restage(house, "run", "--home", str(home))
    assert again.returncode == 1 and "eligibility/ecog" in again.stderr
    shutil.rmtree(house / "expectations")
    shutil.copytree(study.ROOT / "expectations", house / "expectations")
    mended = restage(house, "run", "--home", str(home))
    assert mended.returncode == 0, mended.stderr
