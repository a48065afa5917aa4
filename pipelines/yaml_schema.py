"""A YAML file against its JSON Schema, in a millisecond, with errors that name the line and the nearest right word."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import MappingError

TYPES: dict[str, type] = {
    "string": str, "integer": int, "array": list, "object": dict, "boolean": bool, "null": type(None),
}  # fmt: skip
Place = tuple[str | int, ...]
BASE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # eight times faster, where it is built


class Loader(BASE):  # type: ignore[misc, valid-type]
    """YAML 1.2 as editors read it: `yes`, `no`, `on`, `SI`, `NO`, 55:02 and 2014-03-01 are texts; no key twice."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        # once, before other mappings are merged into it, whose keys it may have again
        if not hasattr(node, "unique"):
            seen: dict[str, int] = {}
            for key, _ in node.value:
                name = str(key.value)
                if name in seen:
                    said = f"{name!r} stands here and in line {seen[name] + 1}"
                    raise Twice(problem=said, problem_mark=key.start_mark)
                seen[name] = key.start_mark.line
            node.unique = True  # type: ignore[attr-defined]
        super().flatten_mapping(node)


class Twice(yaml.MarkedYAMLError):
    """A key that a mapping has twice: the later would replace the earlier without a word."""


Loader.yaml_implicit_resolvers = {
    **{c: [("tag:yaml.org,2002:bool", re.compile("^(true|false)$"))] for c in "tf"},
    **{c: [("tag:yaml.org,2002:int", re.compile("^[-+]?[0-9]+$"))] for c in "-+0123456789"},
    **{c: [("tag:yaml.org,2002:null", re.compile("^(null|~|)$"))] for c in ["n", "~", ""]},
    "<": [("tag:yaml.org,2002:merge", re.compile("^<<$"))],
}


def read(path: Path) -> Any:
    """One YAML file; a syntax error names file and line."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        said = error.problem if isinstance(error, Twice) else "not valid YAML in UTF-8"
        raise MappingError(f"{path.parent.name}/{path.name}{line}: {said}. Correct the file and run again.") from error


class Schema:
    """The keywords that our schemas use, as JSON Schema defines them; `errors` are (place, sentence) pairs."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def errors(self, value: Any, node: dict[str, Any] | None = None, place: Place = ()) -> list[tuple[Place, str]]:
        """What is wrong with a value: every place and what was expected there, in document order."""
        node = self.document if node is None else node
        if "$ref" in node:
            target: Any = self.document
            for step in node["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            return self.errors(value, target, place)
        allowed = [node["type"]] if isinstance(node.get("type"), str) else node.get("type", [])
        if allowed and not any(_is(value, t) for t in allowed):
            hint = " (put it in quotes)" if "string" in allowed and not isinstance(value, list | dict) else ""
            return [(place, f"expected {' or '.join(allowed)}{hint}")]
        if value is not None and "enum" in node and value not in node["enum"]:
            return [(place, f"{value!r} is not one of {', '.join(node['enum'])}{nearest(str(value), node['enum'])}")]
        if isinstance(value, str) and not re.search(node.get("pattern", ""), value):
            return [(place, f"{value!r} does not look like {node['pattern']}")]
        if isinstance(value, str) and (said := FORMATS.get(node.get("format", ""), lambda _: "")(value)):
            return [(place, f"{value!r} is not a regular expression that can be used here: {said}")]
        if _is(value, "integer") and not node.get("minimum", value) <= value <= node.get("maximum", value):
            most = f" and at most {node['maximum']}" if "maximum" in node else ""
            return [(place, f"expected a whole number of at least {node['minimum']}{most}")]
        found = self._branches(value, node, place)
        for rule in node.get("allOf", ()):
            if not self.errors(value, rule["if"], place):
                found += self.errors(value, rule["then"], place)
        if isinstance(value, dict):
            found += self._object(value, node, place)
        if isinstance(value, list):
            if len(value) < node.get("minItems", 0):
                found.append((place, "expected at least one entry"))
            for i, item in enumerate(value if "items" in node else ()):
                found += self.errors(item, node["items"], (*place, i))
        return found

    def _object(self, value: dict[Any, Any], node: dict[str, Any], place: Place) -> list[tuple[Place, str]]:
        known, found = node.get("properties", {}), []
        if len(value) < node.get("minProperties", 0):
            found.append((place, "expected at least one entry"))
        found += [(place, f"{word!r} is missing") for word in node.get("required", ()) if word not in value]
        for key, item in value.items():
            here = (*place, key)
            if not isinstance(key, str):
                found.append((here, f'the key {key!r} must be text: put it in quotes, "{key}"'))
            elif key in known:
                found += self.errors(item, known[key], here)
            elif node.get("additionalProperties") is False:
                found.append((here, f"{key!r} is not a word of this mapping{nearest(key, known)}"))
            else:
                if not re.search(node.get("propertyNames", {}).get("pattern", ""), key):
                    found.append((here, f"{key!r} does not look like {node['propertyNames']['pattern']}"))
                rest = node.get("additionalProperties")
                found += self.errors(item, rest, here) if isinstance(rest, dict) else []
        return found

    def _branches(self, value: Any, node: dict[str, Any], place: Place) -> list[tuple[Place, str]]:
        tried = [self.errors(value, branch, place) for branch in node.get("anyOf", ())]
        if not tried or not all(tried):
            return []
        words = [" and ".join(branch["required"]) for branch in node["anyOf"] if "required" in branch]
        if words:
            return [(place, f"needs {' or '.join(words)}")]
        return max(tried, key=lambda errors: len(errors[0][0]))  # the branch that went deepest is the one meant


def _is(value: Any, name: str) -> bool:
    return isinstance(value, TYPES[name]) and not (name == "integer" and isinstance(value, bool))


def _python(pattern: str) -> str:
    """What is wrong with a regular expression that names columns, or nothing."""
    try:
        re.compile(pattern)
    except re.error as error:
        return str(error)
    return ""


@cache
def _re2(pattern: str) -> str:
    """What is wrong with a regular expression that texts are held against, or nothing: DuckDB has its own kind."""
    import duckdb

    quoted = pattern.replace("'", "''")  # a parameter would import pandas
    with closing(duckdb.connect()) as con:
        try:
            con.execute(f"select regexp_matches('', '{quoted}')")
        except duckdb.Error as error:
            return str(error).splitlines()[0].partition(": ")[2]
    return ""


FORMATS: Mapping[str, Callable[[str], str]] = {"regex": _python, "re2": _re2}


def nearest(word: str, words: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing."""
    close = get_close_matches(word, list(words), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def line_of(path: Path, place: Sequence[str | int]) -> int:
    """The line on which a place of the document begins; read only when there is an error to report."""
    node = yaml.compose(path.read_text(encoding="utf-8"), Loader=Loader)
    line = 1
    for step in place:
        if isinstance(node, yaml.MappingNode):
            pairs = [(k, v) for k, v in node.value if k.value == str(step)]
            if not pairs:
                break
            line, node = pairs[0][0].start_mark.line + 1, pairs[0][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            line = node.start_mark.line + 1
    return line


def refuse(path: Path, errors: Sequence[tuple[Place, str]]) -> None:
    """Raise `MappingError` with all problems of a file, each with its line; no problem, no error."""
    if errors:
        name = f"{path.parent.name}/{path.name}"
        lines = [f"{name}, line {line_of(path, place)}, {'.'.join(map(str, place))}: {text}" for place, text in errors]
        raise MappingError("\n".join(lines))
