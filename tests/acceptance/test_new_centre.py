"""docs/how-to/new-centre.md, command by command, and what a new centre's folder may hold of the export."""

import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import centres, study
from pipelines.orchestration.take_in import stop_rules
from pipelines.profile.check import check
from pipelines.simulate.simulate import simulate

PAGE = study.ROOT / "docs" / "how-to" / "new-centre.md"
RESTAGE = Path(sys.executable).parent / "restage"


def commands() -> list[tuple[str, int]]:
    """Every line of the page's shell blocks, with the exit code that the page tells."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.strip()]
    told = re.compile(r"# exit code (\d)")
    return [(line, int(m.group(1)) if (m := told.search(line)) else 0) for line in lines]


@pytest.mark.long
def test_the_how_to_holds(tmp_path: Path) -> None:
    shutil.copytree(study.ROOT / "examples" / "new_centre", tmp_path / "examples" / "new_centre")
    outputs = []
    for line, code in commands():
        run = subprocess.run(
            ["sh", "-ec", line.replace("restage ", f"'{RESTAGE}' ", 1)], cwd=tmp_path, capture_output=True, text=True
        )
        assert run.returncode == code, f"{line}\n{run.stdout}{run.stderr}"
        outputs.append(run.stdout)
    assert len(outputs) == 13
    assert "'Machine' is not mapped" in outputs[1]
    assert "rt9: everything is mapped\n" in outputs[3]  # the real export is not compared with the sample's tables
    assert outputs[7].endswith("rt9: everything is mapped, as expected\n")
    assert centres.load(tmp_path / "centres" / "rt9").title == "Radiotherapy, session log"
    with (tmp_path / "centres" / "rt9" / "expected" / "fractions.csv").open(newline="") as file:
        staged = list(csv.DictReader(file))
    # the same system as another centre's: what is left are columns that nobody fills
    open_columns = re.findall(r"column .* is not mapped \((\d+) filled", outputs[10])
    assert set(open_columns) <= {"0"}
    assert "rejected" not in outputs[10] + outputs[12]
    # of plans and records nothing is open but the questions
    assert re.search(r"fractions  \d+  local_id", outputs[12])
    assert not re.search("  - (courses|fractions|plans|records): ", outputs[12])
    # one row a fraction, every cell filled
    assert len(staged) == 12
    assert all(all(row.values()) for row in staged)


def test_the_first_mapping_finds_most_of_it(tmp_path: Path) -> None:
    """Of the columns that the finished mapping reads, the guesses find all, with the finished units and formats."""
    from pipelines.profile.new import new

    others = centres.load_all(study.ROOT / "centres")
    example = study.ROOT / "examples" / "new_centre"
    new("rt9", [example / "export"], tmp_path, others)
    guessed = centres.load(tmp_path / "rt9")
    finished_folder = tmp_path / "finished" / "rt9"
    shutil.copytree(example, finished_folder)
    finished = centres.load(finished_folder)

    def reads(centre: centres.Centre) -> set[tuple[str, str, tuple[str, ...], str]]:
        return {
            (t, f.name, f.columns, f.spec.get("unit", ""))
            for t, parts in centre.tables.items() for p in parts for f in p.fields
        }  # fmt: skip

    assert reads(guessed) == reads(finished)
    assert guessed.formats == finished.formats


@pytest.mark.long
def test_every_centre_is_mapped_to_the_end(tmp_path: Path) -> None:
    """A clean export of each of the study's centres becomes its expected tables with nothing left open."""
    simulate(tmp_path, patients=12, seed=5)
    for folder in sorted((tmp_path / "inbox").iterdir()):
        (delivery,) = folder.iterdir()
        own = tmp_path / "centres" / folder.name
        shutil.copytree(study.ROOT / "centres" / folder.name, own)
        shutil.rmtree(own / "sample", ignore_errors=True)
        shutil.copytree(delivery, own / "sample")
        centre = centres.load(own)
        written = check(centre, own / "sample", stop_rules, write=True)
        again = check(centre, own / "sample", stop_rules)
        assert (written.open_ends, again.open_ends) == ([], []), folder.name
        assert again.compared
        assert (own / "expected" / "links.csv").is_file()
