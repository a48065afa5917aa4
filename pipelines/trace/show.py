"""A trace as lines for a reader, the result first, and as data for machines."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from pipelines import models, study
from pipelines.trace.address import written
from pipelines.trace.chain import IN_PYTHON, Step, Steps
from pipelines.trace.landed import Record
from pipelines.trace.rows import Row, as_text

REASON = re.compile(r"(?:(\w+)_)?(?:reasons?|message)$")
Records = Mapping[Row, Record]


def file_of(table: str) -> str | None:
    """The file that makes a table, from the top of the project."""
    model = models.load().get(table)
    return model.path.relative_to(study.ROOT).as_posix() if model else IN_PYTHON.get(table, (None,))[0]


def rule_files(step: Step) -> list[str]:
    """The declarations that decided a row: its endpoint, its analysis, its rule."""
    values = {name: str(value).lower() for name, value in step.values.items() if value is not None}
    named = [f"expectations/{values['rule_id']}.yaml"] if "rule_id" in values else []
    named += [f"study/endpoints/{values['paramcd']}.yaml"] if "paramcd" in values else []
    named += [f"study/sensitivity/{values['analysis']}.yaml"] if "analysis" in values else []
    return [name for name in named if (study.ROOT / name).is_file()]


def reasons(step: Step) -> list[str]:
    """The sentences of a row that say why, for the columns that were asked for."""
    found = []
    for name, value in step.values.items():
        match = REASON.fullmatch(name)
        about = match and (not match[1] or any(c.startswith(match[1]) for c in step.columns))
        if about and value and value not in found:
            found.append(str(value))
    return found


def held(step: Step) -> dict[str, str]:
    """What matters of a row, as text; provenance, key and sentences stand elsewhere."""
    key = study.tables()[step.row.table].key
    return {
        name: text
        for name, value in step.values.items()
        if name in step.columns and name not in {*key, *study.PROVENANCE} and not REASON.fullmatch(name)
        if (text := as_text(value)) is not None
    }


def lines(roots: Iterable[Row], steps: Steps, records: Records) -> Iterator[str]:
    """The trace as a tree: each row once, with what it needs below it; met again, it is only named."""
    shown: set[Row] = set()
    for row in roots:
        if row in steps:
            yield from _branch(row, steps, records, shown, "", "")


def _branch(row: Row, steps: Steps, records: Records, shown: set[Row], first: str, rest: str) -> Iterator[str]:
    name = f"{row.table}  {written(row)}"
    if row in shown:
        yield f"{first}{name}  (above)"
        return
    shown.add(row)
    step = steps[row]
    yield first + name
    up = [r for r in step.up if r in steps]
    more = [
        f"{n} more rows of {table}, which only have to be there (--all follows them)" for table, n in step.also.items()
    ]
    bar = rest + ("│  " if up or more else "   ")
    yield from (bar + text for text in _about(step))
    if row in records:
        yield from (bar + text for text in _record(records[row], step))
    elif step.recorded:
        yield f"{bar}the landed file is not there: `restage run` lands it again"
    for place, other in enumerate(up):
        last = place == len(up) - 1 and not more
        yield from _branch(
            other, steps, records, shown, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  ")
        )
    for place, text in enumerate(more):
        yield rest + ("└─ " if place == len(more) - 1 else "├─ ") + text


def _about(step: Step) -> Iterator[str]:
    made_by = [f for f in (file_of(step.row.table), *rule_files(step)) if f]
    yield " · ".join(made_by) + ("" if step.by_its_sql else "  (what follows has the same key or record)")
    if values := held(step):
        yield " · ".join(f"{name} {value}" for name, value in values.items())
    elif not step.columns:
        yield "has to be there; none of its values matters"
    if step.protocol:
        yield "protocol: " + ", ".join(f"{name} {value}" for name, value in step.protocol.items())
    yield from (f"“{sentence}”" for sentence in reasons(step))


def _record(record: Record, step: Step) -> Iterator[str]:
    """Where the record lies, which of its cells became which value, and its text as it came."""
    key = study.tables()[step.row.table].key
    centre, delivery_id, source_file, source_row = record.place
    yield f"from {centre}, delivery {record.delivery} ({delivery_id}), received {record.received[:10]}"
    yield f"file {source_file}, row {source_row}, read by {record.mapping}"
    yield f"sha256 {record.file_sha256}" + ("" if record.archived else " (no longer in the archive)")
    if record.put_together:
        yield f"put together from all rows with the same {', '.join(record.put_together)}; this is the first of them"
    for name, read in record.became.items():
        value = as_text(step.values.get(name))
        texts = ", ".join(f"{column} = {text!r}" for column, text in read.items())
        if name in step.values:
            mark = "*" if name in step.columns or name in key else " "
            yield f"{mark} {name} {value if value is not None else '(missing)'}  <-  {texts}"
    for file, place, cells in record.changes:
        yield f"the same record in {file}, row {place}: {cells_text(cells)}"
    yield f"as it came: {record.line if record.line is not None else cells_text(record.cells)}"


def cells_text(cells: Mapping[str, str]) -> str:
    """The cells of a record on one line."""
    return " · ".join(f"{name}: {text}" for name, text in cells.items())


def data(roots: Iterable[Row], steps: Steps, records: Records) -> dict[str, Any]:
    """The trace for machines: every row with its files, values, sentences, record, and the rows it needs."""
    listed = []
    for row, step in steps.items():
        record = records.get(row)
        listed.append({
            "id": f"{row.table} {written(row)}", "table": row.table,
            "key": dict(zip(study.tables()[row.table].key, row.key, strict=True)),
            "made_by": file_of(row.table), "decided_by": rule_files(step), "protocol": step.protocol,
            "values": held(step), "reasons": reasons(step), "found_by_its_sql": step.by_its_sql,
            "needs": [f"{r.table} {written(r)}" for r in step.up if r in steps], "only_there": step.also,
            "record": record and {
                **dict(zip(("centre", "delivery_id", "source_file", "source_row"), record.place, strict=True)),
                **{k: v for k, v in asdict(record).items() if k not in ("place", "became", "line")},
                "read_from": record.became, "line": record.line,
            },
        })  # fmt: skip
    return {"roots": [f"{row.table} {written(row)}" for row in roots], "steps": listed}
