"""What a list of queries calls things, in a centre's language."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pipelines import study
from pipelines.study import sql_literal as lit

HERE = Path(__file__).resolve().parent
LABELS = HERE / "reports" / "templates" / "labels.yaml"
FLAG = "flag"  # a yes or no has words as a code has
MOST_FORMS = 2  # by which a source is called; one that holds more is known by its own name


def words(language: str) -> dict[str, Any]:
    """What a list says beyond the rules' own texts."""
    said = study.read_yaml(HERE / "queries.yaml")
    return dict(said.get(language, said["en"]))


def called(language: str) -> dict[str, str]:
    """Our labels of forms and fields -> what people call them."""
    labels = study.read_yaml(LABELS)
    return dict(labels.get(language, labels["en"]))


@cache
def code_words(codelist: str, language: str) -> dict[str, str]:
    """Code of a list -> what people call it within a sentence; none where everybody says its codes (CR, PD)."""
    import csv

    if codelist == FLAG:
        return dict(words(language)["flags"])
    with (study.STUDY / "codelists" / f"{codelist}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    said = f"said_{language}" if rows and f"said_{language}" in rows[0] else "said_en"
    return {row["code"]: row[said] for row in rows if row.get(said)}


@cache
def codelist_of(column: str, table: str = "") -> str:
    """The code list of a column of a table, or of one of its name where the table has none; empty without any."""
    named = [(name, _list(c)) for name, known in study.tables().items() for c in known.columns if c.name == column]
    own = [codelist for name, codelist in named if name == table]
    return next(iter([*own, *(codelist for _, codelist in named if codelist)]), "")


def _list(column: study.Column) -> str:
    return column.codelist or (FLAG if column.type == FLAG else "")


def in_words(sql: str, codelist: str, language: str) -> str:
    """SQL of a code as people call it; what is no code of the list, and all else, as it is."""
    said = code_words(codelist, language) if codelist else {}
    cases = " ".join(f"when {lit(code)} then {lit(word)}" for code, word in said.items())
    return f"case {sql} {cases} else {sql} end" if cases else sql


def short(label: str) -> str:
    """What a label calls a form, without what it explains in brackets."""
    return label.split(" (")[0]


def forms() -> dict[str, str]:
    """Every form by the name that a finding has for its table -> our label."""
    tables = study.tables() | {f"staged.{name}": table for name, table in study.staged_tables().items()}
    return {name: short(table.label) for name, table in tables.items()}


@cache
def fields() -> dict[tuple[str, str], str]:
    """Every field of ours by table and name -> our label; the table is empty where a field is looked up alone."""
    found = {(name, c.name): c.label for name, table in study.tables().items() for c in table.columns}
    for (name, column), label in list(found.items()):
        if name.startswith("harmonised."):
            found.setdefault(("", column), label)
    return found


def field_label(table: str, field: str) -> str:
    """Our label of a finding's field, which need not be of the table that was checked. A column that staging asks about
    is the hospital's own, and keeps its name."""
    alone = "" if table.startswith("staged.") else fields().get(("", field), "")
    return fields().get((table, field)) or alone or field


def source_labels(language: str, sources: Mapping[str, Sequence[str]], and_more: bool = False) -> dict[str, str]:
    """What the sources of a centre are called by the forms that are made from them, where those are few; with
    `and_more` by the first of them where they are many, too."""
    known, label = called(language), {name: short(table.label) for name, table in study.staged_tables().items()}
    made = {name: [known.get(label[t], label[t]) for t in tables] for name, tables in sources.items()}
    few = {name: ", ".join(labels) for name, labels in made.items() if 0 < len(labels) <= MOST_FORMS}
    many = {name: ", ".join([*labels[:MOST_FORMS], "…"]) for name, labels in made.items() if len(labels) > MOST_FORMS}
    return many | few if and_more else few


def sql_labels(language: str, sources: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """SQL values: every form (table, label), and every field as `fields` has it (table, field, label).

    `sources`: source of the centre -> tables that are made from it, by whose forms it is called where they are few.
    """
    known = called(language)
    ours = {name: known.get(label, label) for name, label in forms().items()}
    few = {f"staged.{name}": label for name, label in source_labels(language, sources).items()}
    named = words(language)["forms"] | few | ours
    return (
        ", ".join(f"({lit(name)}, {lit(label)})" for name, label in named.items()),
        ", ".join(f"({lit(t)}, {lit(c)}, {lit(known.get(label, label))})" for (t, c), label in fields().items()),
    )


def sql_codes(language: str) -> tuple[str, str]:
    """SQL values: every code of a field (table, field, code, word), with a field of '' those of a whole table and
    with a table of '' those of a field in whatever table, where they mean one thing; and an SQL map, table|code of a
    record's key -> word."""
    said = {
        (name, c.name, code): word
        for name, table in study.tables().items()
        for c in table.columns
        if _list(c)
        for code, word in code_words(_list(c), language).items()
    }
    meant: dict[tuple[str, str, str], set[str]] = {}
    for (name, field, code), word in said.items():
        meant.setdefault((name, "", code), set()).add(word)
        meant.setdefault(("", field, code), set()).add(word)
    keys = {f"{name.split('.')[1]}|{k}": w for (name, c, k), w in said.items() if c in study.tables()[name].key}
    one = {place: word for place, (word, *others) in meant.items() if not others}
    return (
        ", ".join(f"({', '.join(map(lit, place))}, {lit(word)})" for place, word in (said | one).items()),
        f"map {{{', '.join(f'{lit(key)}: {lit(word)}' for key, word in keys.items())}}}",
    )


def sql_parts(said: Mapping[str, Any], codes: str) -> str:
    """SQL of the parts of a record's key (`a.parts`) as people say them, without its visit; `codes`: of `sql_codes`."""
    part = f"coalesce({codes}[a.table_short || '|' || part], part)"
    for name, word in said["record"].items():
        part = f"regexp_replace({part}, {lit(f'^{name} ')}, {lit(f'{word} ')})"
    return f"list_transform(list_filter(a.parts, lambda part: part not like 'visit %'), lambda part: {part})"
