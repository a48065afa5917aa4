"""What a statement names, from the tree that DuckDB parses it to."""

from collections.abc import Iterator
from typing import Any

from pipelines import study


def named_tables(node: Any) -> Iterator[str]:
    """Every `schema.table` in a serialised statement; names without a schema are its own common table expressions."""
    if isinstance(node, dict):
        if node.get("type") == "BASE_TABLE" and node.get("schema_name"):
            yield f"{node['schema_name']}.{node['table_name']}"
        for child in node.values():
            yield from named_tables(child)
    elif isinstance(node, list):
        for child in node:
            yield from named_tables(child)


def _selects(node: Any) -> Iterator[dict[str, Any]]:
    """Every select in a serialised statement, those of common table expressions included."""
    if isinstance(node, dict):
        if node.get("type") == "SELECT_NODE":
            yield node
        for child in node.values():
            yield from _selects(child)
    elif isinstance(node, list):
        for child in node:
            yield from _selects(child)


def _joined(source: Any) -> Iterator[str]:
    """The tables that a `from` joins, not those of its subqueries."""
    if source["type"] == "JOIN":
        yield from _joined(source["left"])
        yield from _joined(source["right"])
    else:
        yield from named_tables({k: v for k, v in source.items() if k != "subquery"})


def shadowed(tree: Any) -> set[str]:
    """Aliases beside study.protocol with the name of a parameter, which is read where the alias is meant."""
    found = set()
    for select in _selects(tree):
        if "study.protocol" in _joined(select["from_table"]):
            named = {e["alias"]: e.get("column_names", [""])[-1] for e in select["select_list"] if e["alias"]}
            found |= {alias for alias, column in named.items() if alias in study.protocol() and column != alias}
    return found
