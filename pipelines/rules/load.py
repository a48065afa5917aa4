"""The rules: one YAML file each in `expectations/<family>/`, its id is family/stem; checked on load."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeGuard

from pipelines import models, study
from pipelines.errors import MappingError
from pipelines.yaml_schema import Place, Schema, nearest, refuse

RULES = study.ROOT / "expectations"
SCHEMA = Path(__file__).resolve().parent.parent / "schemas" / "rule.schema.json"
PLACEHOLDER = re.compile(r"\{(\w+)\}")
LISTS = ("fields", "record_key", "reads", "provenance", "waits_for")
RECEIVED = ("staged.received", "staged.findings", "staged.deliveries")
LIFE = tuple(f"staged.{name}" for name in models.LIFE)
STAGING_WORDS = ("field", "value_received")  # of what staging raises
LANGUAGES = ("en", "it")
SEVERITIES = ("stop", "exclude", "query", "note")
Words = Mapping[str, str]  # a text, or the SQL that makes one, by language
NATIVE_ROWS = 10_000  # Great Expectations holds a table in memory


@dataclass(frozen=True)
class Rule:
    """What must be true of the rows of one table; predicates are SQL over `t` (the table) and `p` (protocol)."""

    family: str
    name: str
    title: Words
    source: str
    category: str
    severity: str
    message: Words
    suggestion: Words
    table: str
    fields: tuple[str, ...]
    record_key: tuple[str, ...]
    examples: Mapping[str, list[dict[str, Any]]]
    since: str = "1.0"
    withdrawn: str | None = None
    order: int | None = None
    raised_by: str | None = None
    grain: str | None = None
    about: str | Mapping[str, str] | None = None
    joins: str = ""
    places: str = ""
    reads: tuple[str, ...] = ()
    applies_when: str = "true"
    fails_when: str = "false"
    unknown_when: str = "false"
    waits_for: tuple[str, ...] = ()
    value: str | None = None
    expected: Words | None = None
    words: Mapping[str, Words] = field(default_factory=dict)
    problem: str = ""  # why it cannot run; empty where it can
    centre: str = "t.centre"
    provenance: tuple[str, ...] = ("t",)
    native: Mapping[str, Any] | None = None

    @property
    def max_rows(self) -> int:
        """Rows of the table that Great Expectations is given at most."""
        return int((self.native or {}).get("max_rows", NATIVE_ROWS))

    @property
    def not_yet(self) -> str:
        """Why it judges nobody under the protocol version in force; empty where it does."""
        if study.holds(self.since):
            return ""
        return f"{self.file}: holds from protocol version {self.since} on; {study.protocol_version()} is in force"

    @property
    def rule_id(self) -> str:
        return f"{self.family}/{self.name}"

    @property
    def file(self) -> str:
        return f"expectations/{self.rule_id}.yaml"


def load_rules(root: Path = RULES, keep_broken: bool = False) -> list[Rule]:
    """All rules under `root`, by family, order in the protocol, and name; raises `MappingError` with file and line.

    With `keep_broken` a file that cannot be used gives a rule with a `problem`, so that a run can name it and go on.
    """
    rules = [_read_or_keep(path) if keep_broken else _read(path) for path in sorted(root.glob("*/*.yaml"))]
    return sorted(rules, key=lambda r: (r.family, r.order or 0, r.name))


def counted(rules: Iterable[Rule]) -> list[Rule]:
    """The rules that DuckDB counts; the others name an expectation that Great Expectations runs itself."""
    return [rule for rule in rules if rule.native is None]


def tables_read(rules: list[Rule]) -> tuple[str, ...]:
    """Full names of all tables that a pass over these rules reads."""
    named = {t for r in counted(rules) if not r.problem for t in (r.table, *r.reads)}
    return tuple(sorted(named | {"study.protocol", "study.centres", *RECEIVED}))


@cache
def _schema() -> Schema:
    return Schema(json.loads(SCHEMA.read_text(encoding="utf-8")))


def _read(path: Path) -> Rule:
    return _read_once(path, path.read_bytes())


@lru_cache(maxsize=1024)
def _read_once(path: Path, _content: bytes) -> Rule:
    """A run reads the rules a dozen times; a file that has not changed is parsed and checked once."""
    raw = study.read_yaml(path)
    errors = _schema().errors(raw)
    refuse(path, errors or _wrong_words(raw))
    if "native" in raw:
        raw = {"fields": [], "record_key": [], **raw}
    staging = {"table": "staged.findings", "fields": [], "record_key": [], "examples": {}} if "raised_by" in raw else {}
    values: dict[str, Any] = {k: tuple(v) if k in LISTS else v for k, v in (staging | raw).items()}
    if isinstance(values.get("expected"), str):
        values["expected"] = dict.fromkeys(LANGUAGES, values["expected"])
    return Rule(family=path.parent.name, name=path.stem, **values)


def _read_or_keep(path: Path) -> Rule:
    """The rule, or what is known of it and why it cannot run. Who would be excluded by it is then not judged."""
    try:
        return _read(path)
    except MappingError as error:
        named = f"{path.parent.name}/{path.name}"
        problem = str(error) if named in str(error) else f"{named}: {error}"
    try:
        raw = study.read_yaml(path)
    except MappingError:
        raw = None
    known = raw if isinstance(raw, dict) else {}
    family = path.parent.name
    usual = "exclude" if family == "eligibility" else "query"
    title = known.get("title")
    return Rule(
        family=family, name=path.stem, title=title if _both(title) else dict.fromkeys(LANGUAGES, path.stem), source="",
        category="", severity=known["severity"] if known.get("severity") in SEVERITIES else usual, message={},
        suggestion={}, table="validated.rule_counts", fields=(), record_key=(), examples={}, problem=problem,
        order=known["order"] if isinstance(known.get("order"), int) else None,
    )  # fmt: skip


def _both(text: Any) -> TypeGuard[dict[str, str]]:
    return isinstance(text, dict) and all(isinstance(text.get(language), str) for language in LANGUAGES)


def _wrong_words(raw: Mapping[str, Any]) -> list[tuple[Place, str]]:
    """Tables that are not declared, columns that the table does not have, examples that are missing."""
    found: list[tuple[Place, str]] = []
    if wrong := study.unknown_version(raw.get("since", "0")):
        found.append((("since",), wrong))
    if "raised_by" in raw:
        if "fails_when" in raw:
            found.append((("fails_when",), "staging raises this rule; it has no predicate"))
        return found or _wrong_placeholders(raw, RECEIVED[1], STAGING_WORDS)
    known = [*study.tables(), *(f"staged.{name}" for name in study.staged_tables()), *RECEIVED, *LIFE]
    for place, name in [(("table",), raw["table"]), *((("reads", i), n) for i, n in enumerate(raw.get("reads", ())))]:
        if name not in known and not name.startswith("study."):
            found.append((place, f"{name!r} is not a declared table{nearest(name, known)}"))
    if found:
        return found
    columns = table_columns(raw["table"])
    found = _wrong_placeholders(raw, raw["table"], columns)
    for kind, predicate in (("fails", "fails_when"), ("unknown", "unknown_when")):
        if predicate in raw and kind not in raw["examples"]:
            found.append((("examples",), f"{predicate} needs an example under `{kind}`"))
    for kind, cases in raw["examples"].items():
        for i, case in enumerate(cases):
            for word in case.keys() - columns.keys() - {"with"}:
                found.append((("examples", kind, i, word), f"{raw['table']} has no column {word!r}"))
    return found


def _wrong_placeholders(raw: Mapping[str, Any], table: str, columns: Iterable[str]) -> list[tuple[Place, str]]:
    """Placeholders that stand for nothing, and those that a text has in one language only."""
    found: list[tuple[Place, str]] = []
    words = {*columns, "value", "expected", *raw.get("words", ())}
    for text in ("title", "message", "suggestion"):
        used = {language: set(PLACEHOLDER.findall(raw[text][language])) for language in LANGUAGES}
        for language, here in used.items():
            place = (text, language)
            allowed = words if text == "message" else set()
            found += [
                (place, f"{{{w}}} is not a column of {table}{nearest(w, allowed)}") for w in sorted(here - allowed)
            ]
            others = set().union(*used.values()) - here
            found += [(place, f"{{{w}}} stands in the other language only") for w in sorted(others & words)]
    return found


def table_columns(full_name: str) -> dict[str, str]:
    """Columns of a declared or staged table with their SQL types, provenance included."""
    schema, name = full_name.split(".")
    if full_name in LIFE:
        return {c: models.technical_type(c) for c in models.LIFE[name].split(", ")}
    if schema == "staged":
        declared = [c for c in study.staged_columns(name).values()]
        return {c.name: c.sql_type for c in declared} | dict.fromkeys(study.PROVENANCE, "varchar")
    return {c.name: c.sql_type for c in study.tables()[full_name].columns}
