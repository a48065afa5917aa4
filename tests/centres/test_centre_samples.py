"""Each centre's sample export, as it lies in its folder, becomes the tables that lie beside it."""

import json

import pytest

from pipelines import study
from tests.conftest import Restage

FOLDER = study.ROOT / "centres"
NAMES = sorted(p.parent.name for p in FOLDER.glob("[!_]*/centre.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_the_sample_becomes_what_is_expected(name: str, restage: Restage) -> None:
    done = restage("centre", "check", name, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)


def test_every_centre_has_a_sample_and_expected_tables() -> None:
    for name in NAMES:
        assert any((FOLDER / name / "sample").iterdir()), name
        assert (FOLDER / name / "expected" / "links.csv").is_file(), name
