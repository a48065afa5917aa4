"""Times the whole line at N patients against a plain typed DuckDB scan of the same delivered files.

    python benchmarks/bench.py --patients 100000 [--home DIR] [--reference]

Prints seconds, the multiple of the scan, peak memory and, beside them, what importing the libraries costs by itself.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = ("dagster", "great_expectations", "matplotlib.pyplot", "lifelines", "pandas", "duckdb")
RESTAGE = [sys.executable, "-c", "from pipelines.cli.main import main; main()"]


def timed(command: list[str]) -> tuple[float, float]:
    """Wall seconds of a process and its peak memory in GiB; ends here when the process fails."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command[-6:])} ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - started, usage.ru_maxrss * unit / 2**30


def scan(home: Path) -> tuple[float, int, int]:
    """Read every delivered CSV once with DuckDB, typed; returns seconds, rows and bytes.

    Dialect and types are found out before the clock starts, so that only the reading is timed.
    """
    import duckdb

    con = duckdb.connect()
    files = sorted(p for p in home.glob("inbox/*/*/**/*") if p.suffix.lower() == ".csv")
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
    started, rows = time.perf_counter(), 0
    for query in queries:
        # every column is read: a count alone would skip the parsing of values
        rows += con.execute(f"select count(*), count(columns(*)) from {query}").fetchall()[0][0]
    return time.perf_counter() - started, rows, sum(p.stat().st_size for p in files)


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


def bench(home: Path, patients: int) -> None:
    simulate, _ = timed([*RESTAGE, "simulate", "--patients", str(patients), "--seed", "1", "--out", str(home)])
    run, peak = timed([*RESTAGE, "run", "--home", str(home)])
    again, _ = timed([*RESTAGE, "run", "--home", str(home)])
    seconds, rows, size = scan(home)
    print(f"\n{patients:,} patients, {rows:,} rows in {size / 2**20:,.0f} MiB of CSV, {os.cpu_count()} cores")
    print(f"  simulate               {simulate:8.1f} s")
    print(f"  plain DuckDB scan      {seconds:8.1f} s")
    print(f"  whole line             {run:8.1f} s   {run / seconds:.1f} times the scan, peak memory {peak:.1f} GiB")
    print(f"  again, nothing new     {again:8.1f} s")


def reference(home: Path) -> None:
    """The reference study: deliveries written beforehand, then one run from nothing."""
    example = ROOT / "examples" / "reference_study"
    cohort = ["--cohort", str(example / "cohort.csv"), "--lesions", str(example / "lesions.csv")]
    timed([*RESTAGE, "simulate", *cohort, "--out", str(home)])
    run, peak = timed([*RESTAGE, "run", "--home", str(home)])
    print(f"\nreference study: restage run {run:.1f} s, peak memory {peak:.1f} GiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=100_000)
    parser.add_argument("--home", type=Path, help="keep the study here; default: a folder that is removed")
    parser.add_argument("--reference", action="store_true", help="the reference study alone")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="restage-bench-") as scratch:
        home = (options.home or Path(scratch)).resolve()
        reference(home / "reference")
        if not options.reference:
            bench(home / "large", options.patients)
    print("  importing alone: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in imports()))


if __name__ == "__main__":
    main()
