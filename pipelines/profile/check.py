"""A mapping tried on an export: landed and staged as in a run, in a folder of its own, and what is left open."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import study, warehouse
from pipelines.deliveries.intake import intake
from pipelines.deliveries.land import land
from pipelines.errors import DeliveryRejected, Problem, UsageError
from pipelines.profile import expected
from pipelines.profile.vocabulary import open_questions
from pipelines.rules.load import load_rules
from pipelines.staging import stage
from pipelines.study import sql_literal as lit
from pipelines.warehouse import Home

if TYPE_CHECKING:
    import duckdb

    from pipelines.mapping import Centre

COLUMN, CODE = "structure/unknown_column", "structure/unmapped_code"
StopRules = Callable[[Path], tuple[int, list[Problem]]]


@dataclass(frozen=True)
class Checked:
    """What a mapping made of an export: counts and names throughout; codes are the only texts of the export."""

    centre: str
    sources: list[tuple[str, str, int]] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    tables: dict[str, tuple[int, dict[str, int]]] = field(default_factory=dict)
    columns: list[tuple[str, str, int]] = field(default_factory=list)
    codes: list[tuple[str, str, str, int]] = field(default_factory=list)
    findings: list[tuple[str, str, str, int]] = field(default_factory=list)
    agreed: list[tuple[str, str, str, int]] = field(default_factory=list)
    not_filled: dict[str, list[str]] = field(default_factory=dict)
    rejected: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    questions: list[int] = field(default_factory=list)
    compared: bool = False

    @property
    def open_ends(self) -> list[str]:
        """Everything that keeps the mapping from being finished, as sentences."""
        return [
            *(f"the delivery is rejected: {reason}" for reason in self.rejected),
            *(f"question {n} in centre.yaml is open (delete its comment when it is answered)" for n in self.questions),
            *(f"{source}: column {name!r} is not mapped ({n} filled cells)" for source, name, n in self.columns),
            *(f"{table}: {name}: code {text!r} is not mapped ({n} rows)" for table, name, text, n in self.codes),
            *self._asked(),
            *self.differences,
        ]

    def _asked(self) -> list[str]:
        titles = {rule.rule_id: rule.title["en"] for rule in load_rules(keep_broken=True)} if self.findings else {}
        return [
            f"{': '.join(filter(None, (table, name, rule)))} ({n} rows): {titles.get(rule, '')}"
            for table, name, rule, n in self.findings
        ]


def check(centre: "Centre", files: Path, stop_rules: StopRules, write: bool = False) -> Checked:
    """Land and stage `files` (one delivery: a folder or a file) by a centre's mapping, and say what is left open.

    `stop_rules` are the rules that reject a delivery in a run. In `<centre>/expected` lie the staged tables that the
    sample must become, and `findings.csv`, what staging is right to ask of it; with `write` they are written, else
    they are compared when the files are the sample. Raises `UsageError` where there are no files.
    """
    if not files.exists() or (files.is_dir() and not any(p.is_file() for p in files.rglob("*"))):
        raise UsageError(f"{files}: no files here. Put an invented export there, or name other files with --files.")
    questions = open_questions(centre.folder / "centre.yaml")
    with tempfile.TemporaryDirectory(prefix="restage-check-") as scratch:
        home, staged = Home(Path(scratch) / "home"), Path(scratch) / "staged"
        try:
            unread = _stage(home, centre, files, staged, stop_rules)
        except DeliveryRejected as error:
            return Checked(centre.name, rejected=[str(p) for p in error.problems], questions=questions)
        with closing(warehouse.memory()) as con:
            for path in sorted(staged.glob("*.parquet")):
                con.execute(f"create view {path.stem} as from read_parquet({lit(str(path))})")
            found, folder = _findings(con), centre.folder / "expected"
            compared = write or (files == centre.folder / "sample" and folder.is_dir())
            if write:
                expected.write(con, folder, found)
            agreed = expected.agreed(folder) if compared else []
            tables = _tables(con)
            return Checked(
                centre.name, _sources(con), unread, {t: got for t, got in tables.items() if got[0]},
                _columns(con), _codes(con),
                [f for f in found if f not in agreed], [f for f in found if f in agreed],
                {t: empty for t, got in tables.items() if (empty := [c for c, n in got[1].items() if not n])},
                [], expected.differences(con, folder) if compared else [], questions, compared,
            )  # fmt: skip


def _stage(home: Home, centre: "Centre", files: Path, out: Path, stop_rules: StopRules) -> list[str]:
    """One delivery by the very steps of a run; returns the files that no source reads."""
    inbox = home.inbox / centre.name
    inbox.mkdir(parents=True)
    # the folder's name may state the extract date, which decides between layouts
    (shutil.copytree if files.is_dir() else shutil.copy)(files, inbox / files.name)
    delivery, *_ = intake(home, [centre.name])  # a list of queries beside the export is not looked at
    if delivery.state == "rejected":
        raise DeliveryRejected(centre.name, delivery.name, [Problem("", "", r, "") for r in delivery.reasons])
    there = centre.on(delivery.extract_date)
    land(home, there, delivery)
    landed = home.landed / centre.name / delivery.delivery_id
    stage(there, landed, out)
    _, problems = stop_rules(out)
    if problems:
        raise DeliveryRejected(centre.name, delivery.name, problems)
    with closing(warehouse.memory()) as con:
        received = lit(str(out / "received.parquet"))
        query = f"select source_file from read_parquet({received}) where source is null order by all"
        return [name for (name,) in con.execute(query).fetchall()]


def _sources(con: "duckdb.DuckDBPyConnection") -> list[tuple[str, str, int]]:
    query = "select source, source_file, n_rows::bigint from received where source is not null order by all"
    return con.execute(query).fetchall()


def _tables(con: "duckdb.DuckDBPyConnection") -> dict[str, tuple[int, dict[str, int]]]:
    """Staged table -> its rows, and in how many of them each column is filled."""
    found = {}
    for table in study.staged_tables():
        names = expected.columns(table)
        cells = ", ".join(f'count("{c}")' for c in names)
        (counts,) = con.execute(f"select count(*), {cells} from {table}").fetchall()
        found[table] = (int(counts[0]), dict(zip(names, counts[1:], strict=True)))
    return found


def _columns(con: "duckdb.DuckDBPyConnection") -> list[tuple[str, str, int]]:
    return con.execute(f"""
        select table_name, field, coalesce(sum(try_cast(value_received as bigint)), 0)::bigint from findings
        where rule_id = {lit(COLUMN)} group by all order by all
    """).fetchall()


def _codes(con: "duckdb.DuckDBPyConnection") -> list[tuple[str, str, str, int]]:
    return con.execute(f"""
        select table_name, field, value_received, count(*) from findings
        where rule_id = {lit(CODE)} group by all order by all
    """).fetchall()


def _findings(con: "duckdb.DuckDBPyConnection") -> list[tuple[str, str, str, int]]:
    """Everything else that staging asks, counted: table or source, field, rule, rows; no values."""
    found: Sequence[tuple[str, str, str, int]] = con.execute(f"""
        select table_name, coalesce(field, ''), rule_id, count(*) from findings
        where rule_id not in ({lit(COLUMN)}, {lit(CODE)}) group by all order by all
    """).fetchall()
    return list(found)
