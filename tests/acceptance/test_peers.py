"""What the benchmark compares must give equal results: ours, pandas, polars, and Great Expectations on pandas."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import study

PEERS = study.ROOT / "benchmarks" / "peers"


def counts(script: str, home: Path, engine: str) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, str(PEERS / script), str(home), engine],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["counts"])


@pytest.mark.parametrize(
    ("script", "peers", "some"),
    [("recist.py", ("pandas", "polars"), "TRGRESP PR"), ("rules.py", ("gx",), "linkage/unlinked")],
)
def test_peers_count_as_we_do(demo_home: Path, script: str, peers: tuple[str, ...], some: str) -> None:
    ours = counts(script, demo_home, "ours")
    assert some in ours
    assert {peer: counts(script, demo_home, peer) for peer in peers} == dict.fromkeys(peers, ours)
