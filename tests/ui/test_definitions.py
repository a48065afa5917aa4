"""What Dagster loads, at every start of a server and of a run: it is valid, quiet, and brings nothing heavy with it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import study

HEAVY = {
    "great_expectations", "lifelines", "lxml", "matplotlib", "numpy", "pandas", "pyarrow", "pydicom", "scipy",
    "sqlglot",
}  # fmt: skip
LOAD = """
import json, sys
from unittest import mock
from pipelines.orchestration import steps
with mock.patch.object(steps, "load_steps", wraps=steps.load_steps) as read:
    import pipelines.definitions
    from pipelines.orchestration import definitions
assert pipelines.definitions.defs is definitions.defs
print(json.dumps({"modules": sorted({name.split(".")[0] for name in sys.modules}), "read": read.call_count}))
"""


def python(*arguments: str, home: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "RESTAGE_HOME": str(home), "DAGSTER_HOME": str(home), "PYTHONWARNINGS": ""}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, cwd=study.ROOT, env=environment, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> "subprocess.CompletedProcess[str]":
    # no warning of ours or of a library is excused: with the pinned versions there is none
    return python("-W", "error::DeprecationWarning", "-c", LOAD, home=tmp_path_factory.mktemp("home"))


def test_loading_warns_of_nothing_deprecated(loaded: "subprocess.CompletedProcess[str]") -> None:
    assert (loaded.returncode, loaded.stderr) == (0, "")


def test_loading_imports_nothing_heavy_and_reads_the_study_once(loaded: "subprocess.CompletedProcess[str]") -> None:
    found = json.loads(loaded.stdout)
    assert {"duckdb", "dagster"} <= set(found["modules"])
    assert HEAVY & set(found["modules"]) == set()
    assert found["read"] == 1


def test_dagster_finds_the_workspace_valid(tmp_path: Path) -> None:
    done = python("-m", "dagster", "definitions", "validate", "-w", "workspace.yaml", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "All code locations passed validation." in done.stdout + done.stderr
