"""The rules: one YAML file each in `expectations/<family>/`, its id is family/stem; checked on load."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipelines import study
from pipelines.yaml_schema import Place, Schema, nearest, refuse

RULES = study.ROOT / "expectations"
SCHEMA = Path(__file__).resolve().parent.parent / "schemas" / "rule.schema.json"
PLACEHOLDER = re.compile(r"\{(\w+)\}")
LISTS = ("fields", "record_key", "reads", "provenance", "waits_for")
NATIVE_ROWS = 10_000  # Great Expectations holds a table in memory
RECEIVED = ("staged.received", "staged.findings")


@dataclass(frozen=True)
class Rule:
    """What must be true of the rows of one table; predicates are SQL over `t` (the table) and `p` (protocol)."""

    family: str
    name: str
    title: str
    source: str
    category: str
    severity: str
    message: str
    suggestion: str
    table: str
    fields: tuple[str, ...]
    record_key: tuple[str, ...]
    examples: Mapping[str, list[dict[str, Any]]]
    since: str = "1.0"
    order: int | None = None
    raised_by: str | None = None
    grain: str | None = None
    joins: str = ""
    reads: tuple[str, ...] = ()
    applies_when: str = "true"
    fails_when: str = "false"
    unknown_when: str = "false"
    waits_for: tuple[str, ...] = ()
    value: str | None = None
    expected: str | None = None
    centre: str = "t.centre"
    provenance: tuple[str, ...] = ("t",)
    native: Mapping[str, Any] | None = None

    @property
    def max_rows(self) -> int:
        """Rows of the table that Great Expectations is given at most."""
        return int((self.native or {}).get("max_rows", NATIVE_ROWS))

    @property
    def rule_id(self) -> str:
        return f"{self.family}/{self.name}"


def load_rules(root: Path = RULES) -> list[Rule]:
    """All rules under `root`, by family, order in the protocol, and name; raises `MappingError` with file and line."""
    rules = [_read(path) for path in sorted(root.glob("*/*.yaml"))]
    return sorted(rules, key=lambda r: (r.family, r.order or 0, r.name))


def counted(rules: Iterable[Rule]) -> list[Rule]:
    """The rules that DuckDB counts; the others name an expectation that Great Expectations runs itself."""
    return [rule for rule in rules if rule.native is None]


def tables_read(rules: list[Rule]) -> tuple[str, ...]:
    """Full names of all tables that a pass over these rules reads."""
    named = {t for r in counted(rules) for t in (r.table, *r.reads)}
    return tuple(sorted(named | {"study.protocol", *RECEIVED}))


@cache
def _schema() -> Schema:
    return Schema(json.loads(SCHEMA.read_text(encoding="utf-8")))


def _read(path: Path) -> Rule:
    raw = study.read_yaml(path)
    errors = _schema().errors(raw)
    refuse(path, errors or _wrong_words(raw))
    if "native" in raw:
        raw = {"fields": [], "record_key": [], **raw}
    staging = {"table": "staged.findings", "fields": [], "record_key": [], "examples": {}} if "raised_by" in raw else {}
    values: dict[str, Any] = {k: tuple(v) if k in LISTS else v for k, v in (staging | raw).items()}
    return Rule(family=path.parent.name, name=path.stem, **values)


def _wrong_words(raw: Mapping[str, Any]) -> list[tuple[Place, str]]:
    """Tables that are not declared, columns that the table does not have, examples that are missing."""
    found: list[tuple[Place, str]] = []
    if "raised_by" in raw:
        return [((word,), "staging raises this rule; it has no predicate") for word in ("fails_when",) if word in raw]
    known = [*study.tables(), *(f"staged.{name}" for name in study.staged_tables()), *RECEIVED]
    for place, name in [(("table",), raw["table"]), *((("reads", i), n) for i, n in enumerate(raw.get("reads", ())))]:
        if name not in known and not name.startswith("study."):
            found.append((place, f"{name!r} is not a declared table{nearest(name, known)}"))
    if found:
        return found
    columns = table_columns(raw["table"])
    words = columns | {"value": None, "expected": None}
    for word in PLACEHOLDER.findall(raw["message"]):
        if word not in words:
            found.append((("message",), f"{{{word}}} is not a column of {raw['table']}{nearest(word, words)}"))
    for kind, predicate in (("fails", "fails_when"), ("unknown", "unknown_when")):
        if predicate in raw and kind not in raw["examples"]:
            found.append((("examples",), f"{predicate} needs an example under `{kind}`"))
    for kind, cases in raw["examples"].items():
        for i, case in enumerate(cases):
            for word in case.keys() - columns.keys() - {"with"}:
                found.append((("examples", kind, i, word), f"{raw['table']} has no column {word!r}"))
    return found


def table_columns(full_name: str) -> dict[str, str]:
    """Columns of a declared or staged table with their SQL types, provenance included."""
    schema, name = full_name.split(".")
    if schema == "staged":
        declared = [c for c in study.staged_columns(name).values()]
        return {c.name: c.sql_type for c in declared} | dict.fromkeys(study.PROVENANCE, "varchar")
    return {c.name: c.sql_type for c in study.tables()[full_name].columns}
