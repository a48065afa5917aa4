"""What each column of a sample export looks like: its kind, how its values are written, and how many there are."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from pipelines.deliveries.persons import names_patient, tokens
from pipelines.profile.header import PERSON
from pipelines.profile.seen import Seen, words
from pipelines.staging import INVISIBLE
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

MOST_DISTINCT = 200_000  # of a column; what is invented is none of them
TRIED = 5000  # of them, evenly chosen, on which date formats are tried
FEW = 30  # values that a code may have
REPEATED = 3  # rows in which a value must stand before it is shown: what is rarer may be somebody's
NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?")
SERIAL = re.compile(r"[2-5]\d{4}")  # a spreadsheet's day number, beside dates
# a day in whatever form: of a person, and no code, also where no format of ours reads it
DATED = re.compile(r"\d{1,4}[-/. ]+(\d{1,2}|[^\W\d_]{3,})[-/. ,]+\d{1,4}(\D.*)?")
ID = re.compile(r"[\w./-]+")
STUDY_CODE = re.compile(r"[A-Z]{2,}-[A-Z0-9]+-\d+(-[0-9A-Z*])?")
ENOUGH = 0.8  # share of the values that must look like a date or number


@dataclass(frozen=True)
class About:
    """One column: kind is empty, person, date, number, flag, code, id or text; `values` never leave the machine."""

    name: str
    kind: str
    n_filled: int
    values: Mapping[str, int] = field(repr=False)
    formats: tuple[str, ...] = ()
    decimal: str = ""
    whole: bool = False
    unsure: bool = False
    missing: tuple[str, ...] = ()
    label: str = ""
    codes: Mapping[str, str] = field(default_factory=dict)  # what the file itself says that they mean

    @property
    def called(self) -> str:
        """Its name, and what the file itself calls it."""
        return repr(self.name) + (f" ({self.label})" if self.label not in ("", self.name) else "")

    @property
    def shown(self) -> list[str]:
        """Values that may be shown where the column turns out to hold codes: frequent, short, no free text."""
        frequent = [v for v, n in self.values.items() if n >= REPEATED and len(v) <= 40 and len(v.split()) <= 5]
        return sorted(frequent) if self.kind in ("code", "flag", "number") and len(self.values) <= FEW else []

    @property
    def summary(self) -> str:
        """What it looks like, in counts."""
        return f"{self.kind}, {self.n_filled} filled cells, {len(self.values)} different values"


def about(
    con: "duckdb.DuckDBPyConnection", seen: Seen, missing: Collection[str], flags: Collection[str]
) -> list[About]:
    """Every column of one table of the export; `missing` and `flags` are texts known to mean nothing, or yes or no."""
    con.register("sample", seen.rows)
    found = []
    for name in seen.names:
        column = '"' + name.replace('"', '""') + '"'
        # as staging will trim it
        text = f"trim({column}, {lit(INVISIBLE)})"
        rows = con.execute(f"""
            select {text} as v, count(*) from sample where {text} <> '' group by v order by v
            limit {MOST_DISTINCT}
        """).fetchall()
        each = _about(name, dict(rows), missing, {f.casefold() for f in flags})
        found.append(replace(each, label=seen.labels.get(name, ""), codes=seen.codes.get(name, {})))
    con.unregister("sample")
    return found


def _about(name: str, values: Mapping[str, int], missing: Collection[str], flags: Collection[str]) -> About:
    n = sum(values.values())
    if (
        names_patient(name)
        or tokens(name) in map(tokens, words()["persons"])
        or any(p.search(v) for p in PERSON for v in values)
    ):
        return About(name, "person", n, values)
    known = tuple(v for v in values if v in missing)
    given = {v: c for v, c in values.items() if v not in known}
    if not given:
        return About(name, "empty", n, values, missing=known)
    formats, unsure = _formats(given)
    if formats:
        return About(name, "date", n, given, formats, unsure=unsure, missing=known)
    numbers = [v for v in given if NUMBER.fullmatch(v)]
    padded = any(len(v) > 1 and v.startswith("0") and v.isdigit() for v in numbers)
    if len(numbers) >= ENOUGH * len(given) and not padded:
        signs = {c for v in numbers for c in ".," if c in v}
        decimal = "either" if len(signs) > 1 else "".join(signs)
        return About(name, "number", n, given, decimal=decimal, whole=not signs, missing=known)
    if len(given) <= 4 and all(v.casefold() in flags for v in given):
        return About(name, "flag", n, given, missing=known)
    few = len(given) <= FEW and sum(given.values()) >= 2 * len(given)
    if few and not any(DATED.fullmatch(v) for v in given):
        return About(name, "code", n, given, missing=known)
    return About(name, "id" if all(ID.fullmatch(v) for v in given) else "text", n, given, missing=known)


def _formats(values: Mapping[str, int]) -> tuple[tuple[str, ...], bool]:
    """The formats that read nearly all values, best first; unsure where day and month could change places."""
    values = dict(list(values.items())[:: 1 + len(values) // TRIED])
    reads = {f: {v for v in values if _reads(v, f)} for f in words()["formats"]}
    left, chosen = set(values), []
    while left:
        best = max(reads, key=lambda f: len(reads[f] & left))
        if len(reads[best] & left) < max(1, len(values) * 0.02):
            break
        chosen.append(best)
        left -= reads[best]
    read = set(values) - left
    if chosen and (serial := {v for v in left if SERIAL.fullmatch(v)}):
        chosen.append("serial")
        left -= serial
    if not chosen or len(left) > (1 - ENOUGH) * len(values):
        return (), False
    swapped = chosen[0].replace("%d/%m", "%m/%d")
    return tuple(chosen), swapped != chosen[0] and all(_reads(v, swapped) for v in read)


def _reads(value: str, form: str) -> bool:
    try:
        year = datetime.strptime(value, form).year
    except ValueError:
        return False
    return 1900 <= year <= 2100 and ("%Y" not in form or re.search(r"\d{4}", value) is not None)


def most(texts: Sequence[str]) -> str:
    """The most frequent of some texts, '' of none."""
    return Counter(texts).most_common(1)[0][0] if texts else ""
