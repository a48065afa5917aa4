"""The words of a mapping: sources, parts, fields and the centre that they describe, frozen once loaded."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipelines.study import SQL_TYPES

# what one of the centre's units is in ours; exact factors as text
UNITS = {"mm": {"mm": "1", "cm": "10"}, "Gy": {"Gy": "1", "cGy": "0.01"}}
# of a staged number by the type of its column; and the decimals of a quantity: more are asked about, never rounded
BOUNDS, SCALE = {SQL_TYPES["quantity"]: 10**6, SQL_TYPES["int"]: 2**31}, 3
# REDCap's own column names and words, in an export by codes and in one by labels
DICTIONARY = ("Variable / Field Name", "Choices, Calculations, OR Slider Labels")
IDENTIFIER = "Identifier?"
CHECKED, UNCHECKED, COMPLETE = ("1", "Checked"), ("0", "Unchecked"), ("2", "Complete")
BOX, TICKED = "_box", "_ticked"  # columns that a checkbox field makes when its boxes become rows
GUARDED = "guarded "  # and the name of a guard column: the number of its harmless value, in place of the value
Where = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Source:
    """Files of one layout, how they are read, and which of their rows are records."""

    files: tuple[str, ...]
    read: Mapping[str, Any]
    required: bool = True
    key: tuple[str, ...] = ()
    guard: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    alternatives: tuple["Source", ...] = ()
    stop_at: Where = field(default_factory=dict)
    drop_rows: tuple[Mapping[str, Any], ...] = ()
    fill_down: tuple[str, ...] = ()
    current_row: Mapping[str, Any] = field(default_factory=dict)
    one_content: tuple[str, ...] = ()
    transactions: Mapping[str, Any] = field(default_factory=dict)
    dictionary: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    layouts: tuple["Layout", ...] = ()

    def raw(self, column: str) -> str:
        """The name that the files of this layout give to a column of the mapping."""
        return next((old for old, new in self.rename.items() if new == column), column)

    @property
    def transacted(self) -> set[str]:
        """Columns of its transactions; a file without them has none."""
        return {*self.transactions.get("by", ()), *(self.transactions[k] for k in self.transactions if k != "by")}

    @property
    def named(self) -> set[str]:
        """Columns that tell which rows are records."""
        conditions = [self.stop_at, *(d["where"] for d in self.drop_rows)]
        versions = [*self.current_row.get("by", ()), *self.current_row.get("take", {})]
        return {
            *(c for where in conditions for c in where),
            *self.fill_down,
            *versions,
            *self.one_content,
            *self.key,
            *self.transacted,
        }


@dataclass(frozen=True)
class Layout:
    """A source as it was, or is, from one extract date to another, both included; empty: without end."""

    start: str
    end: str
    source: Source


@dataclass(frozen=True)
class Field:
    """How one staged column is made; a name that begins with `_` is a helper of the rollup and is not staged."""

    name: str
    type: str
    columns: tuple[str, ...]
    spec: Mapping[str, Any]
    map: Mapping[str, str | None] | None

    @property
    def beside(self) -> tuple[str, ...]:
        """Raw columns that decide what a blank or an unticked box means: the other boxes, and its form's state."""
        if "box" not in self.spec:
            return ()
        boxes = (box_column(self.spec["from_checkbox"], b) for b in self.spec["boxes"])
        return (*(b for b in boxes if b not in self.columns), *filter(None, [self.spec.get("complete")]))


@dataclass(frozen=True)
class Part:
    """One source's share of a staged table."""

    source: str
    where: Where
    unpivot: Mapping[str, Any]
    lookups: tuple[Mapping[str, Any], ...]
    fields: tuple[Field, ...]
    rollups: tuple[Mapping[str, Any], ...]

    @property
    def made(self) -> set[str]:
        """Columns that the part makes itself: by unpivoting (blocks: any group's name) and by looking up."""
        groups = re.compile(self.unpivot.get("blocks", "")).groupindex
        return {*groups, *(self.unpivot[k] for k in ("name", "value") if k in self.unpivot), *self.taken}

    @property
    def selects(self) -> Where:
        """The conditions on columns of its source: a row that does not meet them is none of this part's. Which columns
        are those of blocks only a delivery tells; of such a part none is given."""
        return {} if "blocks" in self.unpivot else {c: w for c, w in self.where.items() if c not in self.made}

    @property
    def taken(self) -> dict[str, tuple[int, str]]:
        """New column -> number of the lookup and column there."""
        return {new: (i, old) for i, look in enumerate(self.lookups) for new, old in taken(look).items()}


@dataclass(frozen=True)
class Columns:
    """Columns that a mapping names, by name or by the pattern of an unpivot; `in` asks by the name in the file."""

    names: frozenset[str]
    patterns: tuple[re.Pattern[str], ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)

    def __contains__(self, column: object) -> bool:
        if column not in self.rename and column in self.rename.values():
            return False  # this layout calls it otherwise
        name = self.rename.get(str(column), str(column))
        return name in self.names or any(p.fullmatch(name) for p in self.patterns)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.names))


@dataclass(frozen=True)
class Centre:
    """One hospital unit: who it is, what it sends, and how that becomes staged tables."""

    name: str
    title: str  # in English, for the coordinating centre
    local_title: str  # in the centre's language, for itself
    kind: str
    language: str
    contact: str
    cadence_days: int  # as the protocol has it, where the centre's file does not say
    queries_delimiter: str
    missing: tuple[str, ...]
    decimal: str
    formats: tuple[str, ...]
    months: tuple[str, ...]
    sources: Mapping[str, Source]
    tables: Mapping[str, tuple[Part, ...]]
    folder: Path

    def on(self, extract_date: str) -> "Centre":
        """The mapping as it holds for a delivery of that day: of each source the layout that was in force."""
        held = {
            name: next((e.source for e in s.layouts if e.start <= extract_date <= (e.end or extract_date)), s)
            for name, s in self.sources.items()
        }
        return replace(self, sources=held)

    def subject_columns(self, source: str) -> tuple[str, ...]:
        """The columns of a source that hold the centre's own id of the subject; none where no table reads it so."""
        fields = (f for parts in self.tables.values() for part in parts if part.source == source for f in part.fields)
        return tuple(dict.fromkeys(c for f in fields if f.name == "local_id" for c in f.columns))

    def columns(self, source: str) -> Columns:
        """The columns of a source that the mapping names: those that are landed."""
        names, patterns = set(self.sources[source].named), []
        for part in (p for parts in self.tables.values() for p in parts):
            if part.source == source:
                named = {c for f in part.fields for c in (*f.columns, *f.beside)} | {
                    c for look in part.lookups for c in look["on"]
                }
                names |= (named | set(part.where)) - part.made | set(part.unpivot.get("columns", ()))
                patterns += [re.compile(part.unpivot["blocks"])] if "blocks" in part.unpivot else []
            for look in part.lookups:
                if look["source"] == source:
                    names |= {*look["on"].values(), *taken(look).values(), *look.get("where", ())}
            names |= {c for f in part.fields if f.spec.get("choices") == source for c in DICTIONARY}
        if source in (s.dictionary for s in self.sources.values()):
            names |= {DICTIONARY[0], IDENTIFIER}
        return Columns(frozenset(names), tuple(patterns), self.sources[source].rename)


def taken(look: Mapping[str, Any]) -> dict[str, str]:
    """New column -> column of the other source, of one lookup."""
    take = look["take"]
    return dict(take) if isinstance(take, Mapping) else {c: c for c in take}


def box_column(name: str, code: str) -> str:
    """The column of one box of a REDCap checkbox field."""
    return f"{name}___{code.lower().replace('-', '_')}"
