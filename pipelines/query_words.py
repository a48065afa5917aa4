"""What a list of queries calls things, in a centre's language."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pipelines import study
from pipelines.study import sql_literal as lit

HERE = Path(__file__).resolve().parent
LABELS = HERE / "reports" / "templates" / "labels.yaml"
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
def site_words(language: str) -> dict[str, str]:
    """Code of an anatomic site -> what people call it."""
    known = called(language)
    return {code: known.get(f"site {code}", code.replace("_", " ")) for code in study.codelist("anatomic_site")}


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


def sql_labels(language: str, sources: Mapping[str, Sequence[str]]) -> tuple[str, str]:
    """SQL values: every form (table, label), and every field as `fields` has it (table, field, label).

    `sources`: source of the centre -> tables that are made from it, by whose forms it is called where they are few.
    """
    known = called(language)
    ours = {name: known.get(label, label) for name, label in forms().items()}
    made = {f"staged.{name}": [ours[f"staged.{t}"] for t in tables] for name, tables in sources.items()}
    few = {name: ", ".join(labels) for name, labels in made.items() if len(labels) <= MOST_FORMS}
    named = words(language)["forms"] | few | ours
    return (
        ", ".join(f"({lit(name)}, {lit(label)})" for name, label in named.items()),
        ", ".join(f"({lit(t)}, {lit(c)}, {lit(known.get(label, label))})" for (t, c), label in fields().items()),
    )


def sql_parts(said: Mapping[str, Any]) -> str:
    """SQL of the parts of a record's key (`a.parts`) as people say them, without its visit."""
    part = "part"
    for name, word in said["record"].items():
        part = f"regexp_replace({part}, {lit(f'^{name} ')}, {lit(f'{word} ')})"
    return f"list_transform(list_filter(a.parts, lambda part: part not like 'visit %'), lambda part: {part})"
