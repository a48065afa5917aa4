"""The steps after staging, in the order of what they read: one per SQL model and one per pass written in Python."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, TypeAlias

from pipelines import alternatives, independent, models, study, touched
from pipelines.errors import MappingError
from pipelines.warehouse import count, exists

if TYPE_CHECKING:
    import duckdb

    from pipelines.rules.load import Rule


Run: TypeAlias = Callable[["duckdb.DuckDBPyConnection", bool], dict[str, int]]


@dataclass(frozen=True)
class Step:
    """What is done at once: the tables it makes and reads (full names), and how; `run` returns rows by table."""

    makes: tuple[str, ...]
    deps: tuple[str, ...]
    why: str
    version: str
    run: Run
    rests_on_subjects: bool = False  # kept for the study, and made from tables kept by subject alone

    @property
    def layer(self) -> str:
        return self.makes[0].split(".")[0]


def _model_step(model: models.Model) -> Step:
    import hashlib

    version = hashlib.sha256(model.sql.encode()).hexdigest()[:12]

    def run(con: "duckdb.DuckDBPyConnection", only_touched: bool) -> dict[str, int]:
        return {model.full_name: models.run(con, model, only_touched)}

    return Step((model.full_name,), model.deps, model.header.get("why", ""), version, run)


def _python_step(
    makes: tuple[str, ...], deps: Iterable[str], why: str, run: Callable[["duckdb.DuckDBPyConnection", bool], object]
) -> Step:
    """A pass in Python: it reads tables by their names, as a model does, and creates its own by theirs. `run` is told
    whether these are there already and only touched subjects differ."""
    deps = tuple(deps)

    def run_pass(con: "duckdb.DuckDBPyConnection", only_touched: bool) -> dict[str, int]:
        models.show(con, deps)
        again = only_touched and all(exists(con, name) for name in makes)
        for name in makes:
            con.execute(f"drop view if exists slice.{name}")
        con.execute("use slice")
        try:
            run(con, again)
        finally:
            con.execute("use memory")
        for name in makes:
            if again and models.is_watched(name):
                touched.note(con, name, f"slice.{name}")
            columns = ", ".join(f'cast("{c.name}" as {c.sql_type}) as "{c.name}"' for c in study.tables()[name].columns)
            con.execute(f"create or replace table store.{name} as select {columns} from slice.{name}")
            con.execute(f"drop table slice.{name}")
        return {name: count(con, f"store.{name}") for name in makes}

    return Step(makes, deps, why, "1", run_pass)


def _alternatives_step() -> Step:
    """The same SQL files once more for each other reading of a contested point."""
    why = "Each contested point of RECIST read the other way, one at a time."

    def run(con: "duckdb.DuckDBPyConnection", only_touched: bool) -> dict[str, int]:
        return {alternatives.TABLE: alternatives.derive(con, only_touched)}

    return Step((alternatives.TABLE,), alternatives.reads(), why, "1", run)


def _readers_step() -> Step:
    """The same SQL files once more for what independent readers saw."""
    why = "Independent readers are assessed as the oncology centre is, and never mixed with it."

    def run(con: "duckdb.DuckDBPyConnection", only_touched: bool) -> dict[str, int]:
        return {independent.TABLE: independent.derive(con, only_touched)}

    return Step((independent.TABLE,), independent.reads(), why, "1", run)


def _passes() -> list[Step]:
    """What SQL cannot say well: the rules, which are texts of their own, and statistics."""
    from pipelines.endpoints import sensitivity
    from pipelines.rules.load import load_rules, tables_read
    from pipelines.survival import tables as statistics

    rules = load_rules(keep_broken=True)
    return [
        _python_step(
            ("validated.rule_failures", "validated.rule_counts"),
            tables_read(rules),
            "Every rule in one pass, with all failing rows.",
            lambda con, again: _judge(con, rules, again),
        ),
        _python_step(
            statistics.SURVIVAL_TABLES,
            statistics.SURVIVAL_READS,
            "Product-limit and Aalen-Johansen estimates with their limits.",
            lambda con, again: statistics.survival(con),
        ),
        _python_step(
            ("reports.sensitivity",),
            ("derived.endpoint_times",),
            "What the endpoints would be, were a rule another one.",
            lambda con, again: sensitivity(con),
        ),
        _python_step(
            ("reports.exact_limits",),
            ("reports.response_counts", "reports.toxicity_counts", "study.protocol"),
            "DuckDB has no beta quantile.",
            lambda con, again: statistics.exact_limits(con),
        ),
        _python_step(
            ("reports.centre_funnel",),
            ("reports.centre_counts", "study.protocol"),
            "DuckDB has no binomial quantile.",
            lambda con, again: statistics.centre_funnel(con),
        ),
    ]


def _judge(con: "duckdb.DuckDBPyConnection", rules: Iterable["Rule"], again: bool) -> None:
    """All rules, of touched subjects alone where that is enough, the texts for a centre in its language; one whose
    examples do not hold judges nobody."""
    from pipelines.rules.again import Reach
    from pipelines.rules.load import tables_read
    from pipelines.rules.run import run_rules

    problems = dict(con.execute("from slice.main.rule_problems").fetchall())
    rules = [replace(rule, problem=rule.problem or problems.get(rule.rule_id, "")) for rule in rules]
    read = tables_read(rules)
    languages = dict(con.execute("select centre, language from study.centres").fetchall())
    reach = Reach(
        partial(models.show, con, read),
        partial(models.ranges, con),
        partial(touched.whom, con, read=models.reads()) if again else None,
    )
    run_rules(con, rules, languages, reach)


def load_steps() -> list[Step]:
    """All steps, each after those it reads; raises `MappingError` for a circle or a step that reads a later layer."""
    steps = [_model_step(m) for m in models.load().values()] + [_alternatives_step(), _readers_step(), *_passes()]
    maker = {name: step for step in steps for name in step.makes}
    graph = {step.makes[0]: [maker[d].makes[0] for d in step.deps if d in maker] for step in steps}
    try:
        ordered = [maker[name] for name in TopologicalSorter(graph).static_order()]
    except CycleError as error:
        raise MappingError(f"These tables read each other in a circle: {' -> '.join(error.args[1])}.") from error
    rank = models.LAYERS.index
    for step in ordered:
        late = [d for d in step.deps if d in maker and rank(maker[d].layer) > rank(step.layer)]
        if late:
            raise MappingError(f"{step.makes[0]} reads {', '.join(late)}, which a later layer makes.")
        missing = [d for d in step.deps if d.split(".")[0] in models.LAYERS and d not in maker]
        if missing:
            raise MappingError(f"{step.makes[0]} reads {', '.join(missing)}, which nothing makes.")
    return sorted(_unless_nobody_changed(ordered), key=lambda step: rank(step.layer))


def _unless_nobody_changed(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps, in the order of what they read; one whose tables are kept for the study and rest on those kept by
    subject alone is left out of a run in which nothing changed of any subject."""
    same = set()
    for step in steps:
        by_subject = all(study.tables()[name].by == "subject" for name in step.makes)
        # a unit's title may change without its rows
        rests = all(d in same or (d.startswith("study.") and d != "study.centres") for d in step.deps)
        if by_subject or rests:
            same |= {*step.makes}
        yield step if by_subject or not rests else replace(step, run=_if_anybody_changed(step), rests_on_subjects=True)


def _if_anybody_changed(step: Step) -> Run:
    def run(con: "duckdb.DuckDBPyConnection", only_touched: bool) -> dict[str, int]:
        if only_touched and not touched.anybody(con) and all(exists(con, name) for name in step.makes):
            return {name: count(con, f"store.{name}") for name in step.makes}
        return step.run(con, only_touched)

    return run


def description(full_name: str, step: Step) -> str:
    """What the table is, its grain and why it is there, for whoever looks at the lineage."""
    table = study.tables()[full_name]
    return f"{table.label}. {table.grain[:1].upper()}{table.grain[1:]}." + (f"\n\n{step.why}" if step.why else "")
