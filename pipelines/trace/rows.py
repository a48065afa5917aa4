"""Rows of the warehouse by table and key, and what is declared of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipelines import study

Key = tuple[str | None, ...]


@dataclass(frozen=True)
class Row:
    """One row of a declared table by its key, as text in the order of the key's columns."""

    table: str
    key: Key


def literal(value: str | None) -> str:
    return study.sql_literal(value)


def row_test(table: str, key: Key, alias: str = "t") -> str:
    """An SQL condition that holds for the row with this key."""
    named = zip(study.tables()[table].key, key, strict=True)
    return " and ".join(f'{alias}."{c}"::varchar is not distinct from {literal(v)}' for c, v in named)


def columns_of(table: str) -> tuple[str, ...]:
    return tuple(c.name for c in study.tables()[table].columns)


def of_subjects(table: str) -> bool:
    """Whether rows of this table name the subject that they belong to."""
    return table in study.tables() and "usubjid" in columns_of(table)


def subject_of(row: Row) -> str | None:
    """The subject that a row belongs to, where its key says so."""
    key = study.tables()[row.table].key
    return row.key[key.index("usubjid")] if "usubjid" in key else None


def as_text(value: Any) -> str | None:
    """A value as DuckDB writes it."""
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def place(table: str, values: Mapping[str, Any]) -> tuple[str | None, ...]:
    """What names a row however many others there are: not its number."""
    key = study.tables()[table].key
    if "row_key" in values and "row_key" not in key:
        return (values["row_key"],)
    return tuple(None if values[c] is None else str(values[c]) for c in key)


def words_of(table: str, values: Mapping[str, Any]) -> tuple[str, ...]:
    """The words of a row's address."""
    return tuple(
        word.lower()
        for part in place(table, values)
        if part
        for word in (part.split(".") if "row_key" in values else [part])
    )


def figures_of(table: str) -> set[str]:
    """Columns that hold numbers."""
    declared = study.tables()[table]
    return {
        c.name for c in declared.columns if c.type in ("count", "int", "number", "quantity", "total", "large_dose")
    } - {*declared.key}
