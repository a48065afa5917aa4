"""The schema is JSON Schema as published and says what every word means; our own walk agrees with the library."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import centres, yaml_schema
from pipelines.mapping_words import PAGE, SECTIONS, reference

ROOT = Path(__file__).resolve().parents[2] / "centres"
SCHEMA = json.loads(centres.SCHEMA.read_text(encoding="utf-8"))
REAL = jsonschema.Draft202012Validator(SCHEMA)
OURS = yaml_schema.Schema(SCHEMA)
DOCUMENTS = {p.parent.name: yaml_schema.read(p) for p in sorted(ROOT.glob("*/centre.yaml"))}


def words(node: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield from node.get("properties", {}).items()
        for key in node.keys() - {"if"}:
            yield from words(node[key])
    elif isinstance(node, list):
        for child in node:
            yield from words(child)


def places(node: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place of a document."""
    yield above
    for step, child in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield from places(child, (*above, step))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_an_editor_shows_what_every_word_means() -> None:
    """A word without a description of its own has that of what it refers to."""
    silent = [
        word
        for word, about in words(SCHEMA)
        if "description" not in about
        and "description" not in SCHEMA["$defs"].get(str(about.get("$ref", "")).split("/")[-1], {})
    ]
    assert silent == []


def test_every_mapping_names_its_schema_for_the_editor() -> None:
    for path in ROOT.glob("*/centre.yaml"):
        first = path.read_text(encoding="utf-8").splitlines()[0]
        target = first.removeprefix("# yaml-language-server: $schema=")
        assert (path.parent / target).resolve() == centres.SCHEMA


def test_the_reference_is_that_of_the_schema() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "python -m pipelines.mapping_words"
    shown = {name for name in SECTIONS.values() if name} | {
        "texts",
        "spoken",
        "names",
        "decimal",
        "map",
        "where",
        "months",
        "day",
    }
    assert SCHEMA["$defs"].keys() == shown | {"or", "files", "date_format"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_both_accept_every_mapping(name: str) -> None:
    assert REAL.is_valid(DOCUMENTS[name]) and OURS.errors(DOCUMENTS[name]) == []


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_both_refuse_the_same(data: st.DataObject) -> None:
    """A mapping with one place changed: to another kind of value, without a word, or with one too many."""
    document: Any = copy.deepcopy(DOCUMENTS[data.draw(st.sampled_from(["_template", "rt1"]))])
    at = data.draw(st.sampled_from([p for p in places(document) if p]))
    node = document
    for step in at[:-1]:
        node = node[step]
    change = data.draw(st.sampled_from(["", "x", 1, True, None, [], {}, ["x"], [1], {"x": 1}, "drop", "add", "-"]))
    if change == "drop" and isinstance(node, dict):
        del node[at[-1]]
    elif change == "add" and isinstance(node, dict):
        node["extra_word"] = node[at[-1]]
    else:
        node[at[-1]] = change
    assert REAL.is_valid(document) == (OURS.errors(document) == []), (at, change)
