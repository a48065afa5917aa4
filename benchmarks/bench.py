"""Times the line and its parts at N patients against a plain typed DuckDB scan of the same delivered files.

    python benchmarks/bench.py --patients 100000 [--home DIR] [--reference | --peers]

Prints processor seconds, multiples of the scan, peak memory as the operating system counts it, and, beside them, what
importing the libraries costs by itself; then what others would take for two parts of the line (`peers/`). All ratios
are of one run on one machine. `--peers` compares with those alone, over a cohort with planted defects of which every
centre sends CSV.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "benchmarks" / "peers" / "compare.py"
COPIES = ROOT / "benchmarks" / "copies.py"
LIBRARIES = ("dagster", "great_expectations", "matplotlib.pyplot", "lifelines", "pandas", "duckdb")
RESTAGE = [sys.executable, "-c", "from pipelines.cli.main import main; main()"]


class Cost(NamedTuple):
    """What a process took: wall and processor seconds (its children's too), and the peak memory of the largest."""

    wall: float
    cpu: float
    peak_gib: float


def timed(command: list[str]) -> Cost:
    """Run a process to its end; ends here when it fails."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command[-6:])} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 2**30)


def prepare_scan(home: Path) -> tuple[list[str], int]:
    """The queries that read every delivered CSV once, typed, and the bytes of the files.

    Dialect and types are found out here, so that only the reading is timed afterwards.
    """
    import duckdb

    con = duckdb.connect()
    files = sorted(p for p in home.glob("inbox/*/*/**/*") if p.suffix.lower() in (".csv", ".tsv"))
    ready = home / "utf8"
    ready.mkdir(exist_ok=True)
    queries = []
    for number, path in enumerate(files):
        # DuckDB has no cp1252: the yardstick reads the same text in UTF-8
        copy = ready / f"{number}.csv"
        raw = path.read_bytes()
        try:
            raw.decode("utf-8")
            copy.write_bytes(raw)
        except UnicodeDecodeError:
            copy.write_text(raw.decode("cp1252"), encoding="utf-8", newline="")
        queries.append(typed_read(con, copy))
    return queries, sum(p.stat().st_size for p in files)


def scan(queries: Path) -> None:
    """The yardstick, in a process of its own: every column of every file is read and parsed."""
    import duckdb

    con, rows = duckdb.connect(), 0
    for query in json.loads(queries.read_text(encoding="utf-8")):
        # every column is read: a count alone would skip the parsing of values
        rows += con.execute(f"select count(*), count(columns(*)) from {query}").fetchall()[0][0]
    queries.with_suffix(".rows").write_text(str(rows))


def take_in(home: Path) -> None:
    """Landing and staging of everything in the inbox, in a process of its own; nothing else of the line."""
    from pipelines import centres, study
    from pipelines.deliveries import ledger
    from pipelines.deliveries.intake import intake
    from pipelines.orchestration.plan import centre_folders
    from pipelines.orchestration.take_in import take_in as follow
    from pipelines.warehouse import Home

    place = Home(home)
    intake(place, centre_folders())
    for name, centre in centres.load_all(study.ROOT / "centres").items():
        pending = tuple(d for d in ledger.read(place) if d.centre == name and d.state == "received")
        if follow(place, centre, pending, "bench").rejected:
            sys.exit(f"{name}: a delivery was rejected")


def typed_read(con: Any, path: Path) -> str:
    """`read_csv` of one file with nothing left to find out; rows that do not fit (footers) are left out."""
    text = "'" + str(path).replace("'", "''") + "'"
    sniffed = f"select delimiter, quote, skiprows, dateformat, columns from sniff_csv({text}, sample_size = 20480)"
    delimiter, quote, skip, date_format, columns = con.execute(sniffed).fetchall()[0]
    quote = quote if len(quote) == 1 else ""  # a file without quotes is said to have "(empty)"
    types = ", ".join("'{}': '{}'".format(c["name"].replace("'", "''"), c["type"]) for c in columns)
    dates = f", dateformat = '{date_format}'" if date_format else ""
    return (
        f"read_csv({text}, auto_detect = false, header = true, delim = '{delimiter}', quote = '{quote}', "
        f"skip = {skip}, ignore_errors = true, columns = {{{types}}}{dates})"
    )


def imports() -> list[tuple[str, float]]:
    """Seconds that a fresh interpreter needs for each library, above its own start."""
    code = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
    return [
        (name, float(subprocess.run([sys.executable, "-c", code.format(name)], capture_output=True, check=True).stdout))
        for name in LIBRARIES
    ]


def again_with_one_centre(home: Path) -> None:
    """The smallest centre's delivery once more, a newer one with one byte more in a file that nobody reads."""
    smallest = min(home.glob("inbox/*"), key=lambda c: sum(p.stat().st_size for p in c.rglob("*") if p.is_file()))
    (sent,) = smallest.iterdir()
    newer = sent.with_name("2099-01-01_again")
    shutil.copytree(sent, newer)
    (newer / "manifest.yaml").unlink()
    (newer / "remark.txt").write_text("sent once more")


def bench(home: Path, patients: int) -> None:
    me = [sys.executable, __file__]
    simulate = timed([*RESTAGE, "simulate", "--patients", str(patients), "--seed", "1", "--out", str(home)])
    queries, size = prepare_scan(home)
    listed = home / "scan.json"
    listed.write_text(json.dumps(queries), encoding="utf-8")
    plain = timed([*me, "--scan", str(listed)])
    rows = int(listed.with_suffix(".rows").read_text())
    shutil.copytree(home / "inbox", home / "apart" / "inbox")
    taken = timed([*me, "--take-in", str(home / "apart")])
    shutil.rmtree(home / "apart")
    run = timed([*RESTAGE, "run", "--home", str(home)])
    again = timed([*RESTAGE, "run", "--home", str(home)])
    copies = timed([sys.executable, str(COPIES), str(home)])
    subprocess.run([sys.executable, str(PEERS), str(home)], check=True)
    again_with_one_centre(home)
    one = timed([*RESTAGE, "run", "--home", str(home)])
    print(f"\n{patients:,} patients, {rows:,} rows in {size / 2**20:,.0f} MiB of CSV, {os.cpu_count()} cores")
    for name, cost in (
        ("simulate", simulate), ("plain DuckDB scan", plain), ("landing and staging", taken), ("whole line", run),
        ("its tables, only copied", copies), ("again, nothing new", again), ("one centre sent again", one),
    ):  # fmt: skip
        times = f"{cost.cpu / plain.cpu:6.1f} times the scan" if cost.cpu > plain.cpu else ""
        print(f"  {name:24} {cost.cpu:8.1f} s cpu {cost.wall:8.1f} s wall {cost.peak_gib:6.2f} GiB {times}")
    print(f"  one centre sent again / whole line: {one.cpu / run.cpu:.2f}; nothing new: {again.cpu / run.cpu:.3f}")


def peers(home: Path, patients: int) -> None:
    """What others would take, over a cohort with defects; the study is made unless HOME holds it already."""
    if not (home / "warehouse.duckdb").exists():
        cohort = ["--patients", str(patients), "--seed", "1", "--defects", "0.02", "--csv"]
        timed([*RESTAGE, "simulate", *cohort, "--out", str(home)])
        timed([*RESTAGE, "run", "--home", str(home)])
    subprocess.run([sys.executable, str(PEERS), str(home)], check=True)


def reference(home: Path) -> None:
    """The reference study: deliveries written beforehand, then one run from nothing."""
    example = ROOT / "examples" / "reference_study"
    cohort = ["--cohort", str(example / "cohort.csv"), "--lesions", str(example / "lesions.csv")]
    timed([*RESTAGE, "simulate", *cohort, "--out", str(home)])
    run = timed([*RESTAGE, "run", "--home", str(home)])
    print(f"\nreference study: restage run {run.wall:.1f} s, peak memory {run.peak_gib:.1f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=100_000)
    parser.add_argument("--home", type=Path, help="keep the study here; default: a folder that is removed")
    parser.add_argument("--reference", action="store_true", help="the reference study alone")
    parser.add_argument("--peers", action="store_true", help="the peers alone; --home may hold the finished study")
    parser.add_argument("--scan", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--take-in", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scan or options.take_in:
        scan(options.scan) if options.scan else take_in(options.take_in)
        return
    with tempfile.TemporaryDirectory(prefix="restage-bench-") as scratch:
        home = (options.home or Path(scratch)).resolve()
        if options.peers:
            peers(home, options.patients)
            return
        reference(home / "reference")
        if not options.reference:
            bench(home / "large", options.patients)
    print("  importing alone: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in imports()))


if __name__ == "__main__":
    main()
