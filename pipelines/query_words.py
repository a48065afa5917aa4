"""What a list of queries calls things, in a centre's language."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines import study
from pipelines.study import sql_literal as lit

HERE = Path(__file__).resolve().parent
LABELS = HERE / "reports" / "templates" / "labels.yaml"


def words(language: str) -> dict[str, Any]:
    """What a list says beyond the rules' own texts."""
    said = study.read_yaml(HERE / "queries.yaml")
    return dict(said.get(language, said["en"]))


def called(language: str) -> dict[str, str]:
    """Our labels of forms and fields -> what people call them."""
    labels = study.read_yaml(LABELS)
    return dict(labels.get(language, labels["en"]))


def sql_labels(called: Mapping[str, str]) -> tuple[str, str]:
    """SQL values: every form (table, label), and every field of ours (table, field, label; the table is empty where a
    field is looked up alone). A column that staging asks about is the hospital's own, and keeps its name."""
    tables = study.tables()
    forms = {f"staged.{name}": table.label for name, table in study.staged_tables().items()}
    forms |= {name: table.label for name, table in tables.items()}
    fields = {(name, c.name): c.label for name, table in tables.items() for c in table.columns}
    for (name, column), label in list(fields.items()):
        if name.startswith("harmonised."):
            fields.setdefault(("", column), label)
    return (
        ", ".join(f"({lit(n)}, {lit(called.get(short, short))})" for n, label in forms.items()
                  for short in [label.split(" (")[0]]),
        ", ".join(f"({lit(t)}, {lit(c)}, {lit(called.get(label, label))})" for (t, c), label in fields.items()),
    )  # fmt: skip


def sql_parts(said: Mapping[str, Any]) -> str:
    """SQL of the parts of a record's key (`a.parts`) as people say them, without its visit."""
    part = "part"
    for name, word in said["record"].items():
        part = f"regexp_replace({part}, {lit(f'^{name} ')}, {lit(f'{word} ')})"
    return f"list_transform(list_filter(a.parts, lambda part: part not like 'visit %'), lambda part: {part})"
