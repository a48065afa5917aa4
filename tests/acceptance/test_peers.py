"""What the benchmark compares must give equal results: ours, pandas, polars, and Great Expectations on pandas.

Of the responses each engine's every row is held against the home's by the benchmark itself.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from pipelines import study

pytestmark = pytest.mark.long
PEERS = study.ROOT / "benchmarks" / "peers"


def run(script: str, home: Path, engine: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PEERS / script), str(home), engine]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def counts(script: str, home: Path, engine: str) -> dict[str, int]:
    done = run(script, home, engine)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["counts"])


@pytest.mark.parametrize(
    ("script", "peers", "some"),
    [
        ("recist.py", ("pandas", "polars"), "timepoint_responses after_rt PD"),
        ("rules.py", ("gx",), "linkage/unlinked"),
    ],
)
def test_peers_find_what_we_find(demo_home: Path, script: str, peers: tuple[str, ...], some: str) -> None:
    ours = counts(script, demo_home, "ours")
    assert some in ours
    assert {peer: counts(script, demo_home, peer) for peer in peers} == dict.fromkeys(peers, ours)


@pytest.mark.parametrize("engine", ["ours", "polars", "pandas"])
def test_one_word_that_differs_ends_the_comparison(demo_home: Path, tmp_path: Path, engine: str) -> None:
    shutil.copy(demo_home / "warehouse.duckdb", tmp_path)
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as con:
        con.execute("""
            update assessed.timepoint_responses set target_reason = target_reason || '.'
            where rowid = 0
        """)
    done = run("recist.py", tmp_path, engine)
    assert done.returncode == 1
    assert done.stderr.strip() == "assessed.timepoint_responses: 1 rows wrong"
