"""A disk that is really full: a small file system of memory, made larger before the second run."""

import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from pipelines import study
from pipelines.deliveries import ledger
from pipelines.warehouse import Home, open_read

# a namespace of its own, so that nobody else sees the mount and it goes with the process
SCRIPT = """
mount -t tmpfs -o size=$1 tmpfs $2 && cp -r $3 $2/inbox || exit 9
$5 run --home $2; echo "first $?"
mount -o remount,size=2g $2
$5 run --home $2; echo "second $?"
cp -r $2 $4
"""


def mounted(script: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=1200, check=False)


can_mount = pytest.mark.skipif(
    shutil.which("unshare") is None or mounted("mount -t tmpfs tmpfs /mnt").returncode != 0,
    reason="needs user namespaces with mounts (Linux)",
)


@can_mount
@pytest.mark.slow
@pytest.mark.parametrize("size", ["12m", "20m", "40m"])
def test_a_run_on_a_full_disk_says_so_and_the_next_one_repairs(demo_home: Path, tmp_path: Path, size: str) -> None:
    place, out = tmp_path / "disk", tmp_path / "out"
    place.mkdir()
    restage = Path(sys.executable).with_name("restage")
    done = mounted(SCRIPT, size, str(place), str(demo_home / "inbox"), str(out), str(restage))
    ended = [line for line in done.stdout.splitlines() if line.startswith(("first", "second"))]
    assert ended == ["first 1", "second 0"], done.stdout + done.stderr[-3000:]
    assert "restage: The disk is full, " in done.stderr
    assert {d.state for d in ledger.read(Home(out))} == {"accepted"}
    with closing(open_read(Home(demo_home))) as one, closing(open_read(Home(out))) as other:
        for name in study.tables():
            query = f"from {name} order by all"
            assert one.execute(query).fetchall() == other.execute(query).fetchall(), name
