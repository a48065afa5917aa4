"""What words mean: tables, code lists, protocol numbers and endpoints, from `study/` and as DuckDB schema `study`."""

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import MappingError

ROOT = Path(__file__).resolve().parent.parent
STUDY = ROOT / "study"
# a total holds the sum of as many quantities as there can be rows
SQL_TYPES = {
    "text": "varchar", "id": "varchar", "code": "varchar", "flag": "varchar", "int": "integer", "count": "bigint",
    "date": "date", "quantity": "decimal(9,3)", "total": "decimal(18,3)", "large_dose": "decimal(38,4)",
    "number": "double", "boolean": "boolean",
}  # fmt: skip
PROVENANCE = ("centre", "delivery_id", "file_sha256", "source_file", "source_row")


@dataclass(frozen=True)
class Column:
    """One declared column; `derived` ones are made by SQL and have no staged form.

    `endpoint`: endpoints rest on it; true where it is always due, or the SQL condition under which it is.
    """

    name: str
    type: str
    label: str
    unit: str | None = None
    codelist: str | None = None
    cdisc: str | None = None
    derived: bool = False
    endpoint: bool | str = False

    @property
    def sql_type(self) -> str:
        return SQL_TYPES[self.type]


@dataclass(frozen=True)
class Table:
    """One declared table: `schema.name`, its grain, key and whether it is kept by subject or for the study."""

    schema: str
    name: str
    label: str
    grain: str
    key: tuple[str, ...]
    by: str
    columns: tuple[Column, ...]
    staged: bool

    @property
    def full_name(self) -> str:
        return f"{self.schema}.{self.name}"


def read_yaml(path: Path) -> Any:
    """Read one YAML file with the C loader (eight times faster); a syntax error names file and line."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise MappingError(f"{path.name}{line}: not valid YAML in UTF-8. Correct the file and run again.") from error


@cache
def tables() -> dict[str, Table]:
    """All declared tables by `schema.name`, from `study/tables/*.yaml`."""
    found = {}
    for path in sorted((STUDY / "tables").glob("*.yaml")):
        raw = read_yaml(path)
        columns = tuple(Column(name=name, **spec) for name, spec in raw["columns"].items())
        schema = raw["schema"]
        staged = schema == "harmonised" and raw.get("staged", True)
        table = Table(schema, path.stem, raw["label"], raw["grain"], tuple(raw["key"]), raw["by"], columns, staged)
        unknown = {c.type for c in columns} - SQL_TYPES.keys()
        if unknown:
            raise MappingError(f"{path.name}: unknown column type {sorted(unknown)}; one of {sorted(SQL_TYPES)}.")
        found[table.full_name] = table
    return found


@cache
def staged_tables() -> dict[str, Table]:
    """The tables that centres are mapped to, by bare name."""
    return {t.name: t for t in tables().values() if t.staged}


def staged_columns(table: str) -> dict[str, Column]:
    """Columns of a staged table: what a centre can fill of the harmonised one, plus its own `local_id`."""
    columns = {c.name: c for c in staged_tables()[table].columns if not c.derived}
    return {"local_id": Column("local_id", "id", "The subject as the centre names it"), **columns}


@cache
def codelist(name: str) -> tuple[str, ...]:
    """The codes of `study/codelists/<name>.csv`, in their order."""
    import csv

    with (STUDY / "codelists" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return tuple(row["code"] for row in csv.DictReader(file))


def protocol_version() -> str:
    """The protocol version in force: the newest, or the one that RESTAGE_PROTOCOL names (`restage run --protocol`)."""
    return os.environ.get("RESTAGE_PROTOCOL") or _newest_protocol()


@cache
def _newest_protocol() -> str:
    return str(read_yaml(STUDY / "protocol.yaml")["version"])


def holds(since: str) -> bool:
    """Whether what holds from protocol version `since` on holds under the version in force."""
    return _order(since) <= _order(protocol_version())


def unknown_version(since: str) -> str:
    """Why nothing can hold from protocol version `since` on; empty where something can."""
    newest = _newest_protocol()
    later = _order(since) > _order(newest)
    return f"protocol.yaml is at version {newest}; there is no version {since} yet" if later else ""


def protocol() -> dict[str, dict[str, Any]]:
    """Every protocol number by name as the version in force has it: `value`, `unit`, `citation`, `since`; a contested
    one has `readings`, a text by language all of it in `declared`. Raises `MappingError`."""
    return _protocol(protocol_version())


@cache
def _protocol(version: str) -> dict[str, dict[str, Any]]:
    """A number's `amended` list says what replaced it, and from which version on; unknown to earlier versions, a number
    that came later has its first value in them, so that today's SQL can run."""
    content = read_yaml(STUDY / "protocol.yaml")
    newest = str(content["version"])
    if _order(version) > _order(newest):
        raise MappingError(f"protocol.yaml is at version {newest}; there is no version {version} yet.")
    found = {}
    for name, first in content["parameters"].items():
        amended = first.get("amended", [])
        sinces = [_order(str(a["since"])) for a in (first, *amended)]
        if sinces != sorted(set(sinces)) or sinces[-1] > _order(newest):
            raise MappingError(f"protocol.yaml: {name}: amendments follow each other, up to version {newest}.")
        found[name] = {k: v for k, v in first.items() if k != "amended"}
        for a in amended:
            found[name] |= a if _order(str(a["since"])) <= _order(version) else {}
        found[name] |= {"declared": found[name]["value"], "value": spoken(found[name]["value"])}
    wrong = [name for name, p in found.items() if "readings" in p and p["readings"][0] != p["value"]]
    if wrong:
        raise MappingError(f"protocol.yaml: {', '.join(wrong)}: the value in force is the first of its readings.")
    return found


def title(language: str) -> str:
    """What the study is called in a language."""
    return str(spoken(protocol()["study_title"]["declared"], language))


def spoken(text: Any, language: str = "en") -> Any:
    """What is declared once, or once a language."""
    return text[language] if isinstance(text, dict) else text


def _order(version: str) -> tuple[int, ...]:
    """1.10 comes after 1.9."""
    try:
        return tuple(int(part) for part in version.split("."))
    except ValueError:
        raise MappingError(f"protocol.yaml: {version!r} is no version; numbers with dots are expected.") from None


def readings() -> dict[str, list[Any]]:
    """The contested points by name, each with its readings; the study's own one stands first."""
    return {name: p["readings"] for name, p in protocol().items() if "readings" in p}


@cache
def endpoints() -> list[dict[str, Any]]:
    """The declared time-to-event endpoints by their `order`; raises `MappingError` for a date that nobody knows."""
    found = [
        {"paramcd": path.stem.upper(), "until": [], **read_yaml(path)} for path in (STUDY / "endpoints").glob("*.yaml")
    ]
    for e in found:
        _known_dates(f"endpoints/{e['paramcd'].lower()}.yaml", e)
    return sorted(found, key=lambda e: (e["order"], e["paramcd"]))


@cache
def sensitivity() -> list[dict[str, Any]]:
    """The declared sensitivity analyses: which endpoints each looks at, and what it does otherwise than declared.

    `of`: by endpoint, what replaces its start, events, until or censors (dates by name); `bounds`: other bounds of
    oligo-progression, with the rules that they stand in for. Raises `MappingError` for an unknown endpoint or date.
    """
    known = {e["paramcd"] for e in endpoints()}
    found = [{"analysis": path.stem, **read_yaml(path)} for path in (STUDY / "sensitivity").glob("*.yaml")]
    for a in found:
        where = f"sensitivity/{a['analysis']}.yaml"
        named = {*a.get("of", ()), *a.get("sum_of", ())} | ({a["beside"]} if "beside" in a else set())
        if named - known:
            raise MappingError(f"{where}: no endpoint is called {sorted(named - known)}; one of {sorted(known)}.")
        for change in a.get("of", {}).values():
            _known_dates(where, change)
    return sorted(found, key=lambda a: (a["order"], a["analysis"]))


def names_of(steps: list[Any]) -> list[str]:
    """Dates by name, from steps with a description or from bare names."""
    return [step["date"] if isinstance(step, dict) else step for step in steps]


def _known_dates(where: str, declared: dict[str, Any]) -> None:
    """A misspelt date would be a date that nobody has."""
    steps = names_of([s for role in ("events", "until", "censors") for s in declared.get(role, [])])
    unknown = {*steps, *([declared["start"]] if "start" in declared else [])} - {*codelist("date_name")}
    if unknown:
        raise MappingError(f"{where}: no date is called {sorted(unknown)}; see codelists/date_name.csv.")


@cache
def survival_groups() -> dict[str, dict[str, Any]]:
    """The columns of ADSL by which curves are compared: `label`, `starts`; raises `MappingError` for one it lacks."""
    found = dict(read_yaml(STUDY / "survival_groups.yaml"))
    unknown = found.keys() - {c.name for c in tables()["derived.adsl"].columns}
    if unknown:
        raise MappingError(f"survival_groups.yaml: derived.adsl has no column {', '.join(sorted(unknown))}.")
    return found


def sql_literal(value: Any) -> str:
    """A value as a DuckDB literal; numbers with a decimal point become decimals, so that thresholds stay exact."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, list):
        return "[" + ", ".join(sql_literal(v) for v in value) + "]"
    text = str(value).replace("'", "''")
    return f"date '{text}'" if type(value).__name__ == "date" else f"'{text}'"
