"""The rules as Great Expectations shows them: suites, checkpoints, validation results and Data Docs.

Only the counting is pushed down to DuckDB. The library takes seconds to import, so a process beside the run does it,
and records while the run goes on.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import DiskFull, RestageError, disk_full
from pipelines.rules.load import Rule, load_rules

if TYPE_CHECKING:
    import duckdb

NO_ROOM = 28  # exit code of the process when the disk is full
Counts = Sequence[Mapping[str, Any]]
DOCS = Path("uncommitted") / "data_docs" / "local_site" / "index.html"
PROBLEMS = "native_problems.json"  # why native rules could not run, for as long as it holds
WORST = ("error", "fail", "pass", "not_applicable")


def validate(
    counts: Counts,
    out: Path,
    deliveries: Mapping[str, str] | None = None,
    rules: Sequence[Rule] = (),
    tables: Callable[[], Mapping[str, str]] = dict,
) -> dict[str, Any]:
    """Let Great Expectations record one run of the rules under `out`, and build its Data Docs.

    Input: the rows of `validated.rule_counts` (one per rule and centre), the delivery in force by centre, the rules
    (for their words), and what says which tables `write_tables` laid down for native expectations; that is asked last.
    A family is a suite, a rule an expectation, a centre a checkpoint, whose runs are named after its delivery; the
    checkpoint `all_centres` has every centre, `tables` the native expectations. Counts that did not change since they
    were last recorded are not recorded again.
    Returns how many rules `passed`, `failed`, are `not_applicable` or in `error` (an exception is never counted as a
    plain failure), the ids of those that failed or are in error, the names of the runs that were `recorded`, and where
    the Data Docs lie. Source: QUALITY.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    from pipelines.rules.gx_native import check_tables
    from pipelines.rules.gx_record import open_context, record

    context = open_context(out)
    status, pages = record(context, out, counts, deliveries or {}, {rule.rule_id: rule for rule in rules})
    native, more, problems = check_tables(context, out, [rule for rule in rules if rule.native], tables())
    files = {rule.rule_id: rule.file for rule in rules}
    (out / PROBLEMS).write_text(json.dumps({r: f"{files[r]}: {why}" for r, why in sorted(problems.items())}))
    pages += more
    if pages:
        context.build_data_docs(resource_identifiers=pages)  # only what is new: earlier runs' pages stay as they are
    status |= native
    by_status = {word: sorted(r for r, s in status.items() if s == word) for word in WORST}
    return {
        "passed": len(by_status["pass"]), "failed": len(by_status["fail"]),
        "not_applicable": len(by_status["not_applicable"]), "error": len(by_status["error"]),
        "failing_rules": by_status["fail"], "rules_in_error": by_status["error"],
        "recorded": sorted({page.run_id.run_name for page in pages if hasattr(page, "run_id")}),
        "data_docs": DOCS.as_posix(),
    }  # fmt: skip


def start(out: Path) -> "subprocess.Popen[str]":
    """Let a process of its own import Great Expectations, so that it is ready when the rules have been counted."""
    return subprocess.Popen(
        [sys.executable, "-m", __name__, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def hand_over_counts(
    process: "subprocess.Popen[str]", con: "duckdb.DuckDBPyConnection", deliveries: Mapping[str, str]
) -> None:
    """Give the counts and the delivery in force by centre to the process that `start` began; it works on while the
    caller does something else."""
    _tell(process, {"counts": read_counts(con), "deliveries": dict(deliveries)})


def collect(process: "subprocess.Popen[str]", con: "duckdb.DuckDBPyConnection", out: Path) -> dict[str, Any]:
    """Give it the tables that native expectations look at, which are made last; returns what `validate` said there.

    Raises `RestageError` when it failed.
    """
    _tell(process, write_tables(con, out, (rule for rule in load_rules(keep_broken=True) if not rule.problem)))
    answer, _ = process.communicate()
    if process.returncode == NO_ROOM:
        raise DiskFull
    if process.returncode:
        raise RestageError("Great Expectations could not record the rules; what it said stands above.")
    return dict(json.loads(answer))


def _tell(process: "subprocess.Popen[str]", words: Any) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError):  # it has ended; `collect` says so
        process.stdin.write(json.dumps(words) + "\n")
        process.stdin.flush()


def native_problems(out: Path) -> dict[str, str]:
    """Native rules that could not run when Great Expectations last looked at their tables, and why."""
    path = out / PROBLEMS
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def read_counts(con: "duckdb.DuckDBPyConnection") -> Counts:
    """The rows of `validated.rule_counts` from the warehouse, attached as `store` or opened itself."""
    rows = con.execute(f"from {_place(con)}validated.rule_counts")
    names = [column[0] for column in rows.description]
    return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]


def write_tables(con: "duckdb.DuckDBPyConnection", out: Path, rules: Iterable[Rule]) -> dict[str, str]:
    """Lay down `tables/<table>.parquet` for each table that a native expectation looks at.

    Returns the tables that could not be laid down with the reason, the others with an empty text. Great Expectations
    holds a table in memory, so one with more rows than its rule allows is not written.
    """
    import duckdb

    said: dict[str, str] = {}
    for rule in rules:
        if rule.native is None:
            continue
        target = out / "tables" / f"{rule.table}.parquet"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        source = f"{_place(con)}{rule.table}"
        try:
            n_rows = con.execute(f"select count(*) from {source}").fetchall()[0][0]
            if n_rows > rule.max_rows:
                said[rule.table] = f"{n_rows} rows are more than the {rule.max_rows} that Great Expectations is given"
                continue
            path = str(target).replace("'", "''")
            con.execute(f"copy (from {source} order by all) to '{path}' (format parquet)")
            said[rule.table] = ""
        except duckdb.Error as error:
            said[rule.table] = f"the table cannot be read ({type(error).__name__})"
    return said


def _place(con: "duckdb.DuckDBPyConnection") -> str:
    attached = con.execute("select count(*) from duckdb_databases() where database_name = 'store'").fetchall()[0][0]
    return "store." if attached else ""


def main(out: Path) -> None:
    """The process of `start`: the work comes as JSON on standard input, the summary goes out the same way."""
    with redirect_stdout(sys.stderr):
        import pipelines.rules.gx_expectation  # noqa: F401  the seconds that it takes pass while the run counts

        rules = [rule for rule in load_rules(keep_broken=True) if not rule.problem]
        counted = sys.stdin.readline()
        tables = cache(lambda: dict(json.loads(sys.stdin.readline())))
        given = {**json.loads(counted), "out": out, "rules": rules, "tables": tables} if counted else {}
        try:
            summary = validate(**given) if given else {}
        except Exception as error:
            if disk_full(error):
                sys.exit(NO_ROOM)
            if not out.exists():
                raise
            # a run that was cut off left files there that cannot be read; the tables were laid down just now
            for path in out.iterdir():
                if path.is_dir() and path.name != "tables":
                    shutil.rmtree(path)
                elif path.is_file():
                    path.unlink()
            summary = validate(**given)
    sys.stdout.write(json.dumps(summary))


if __name__ == "__main__":
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    main(Path(sys.argv[1]))
