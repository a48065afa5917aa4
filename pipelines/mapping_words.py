"""The reference of the mapping language, written from the schema: `python -m pipelines.mapping_words`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

SCHEMA = Path(__file__).parent / "schemas" / "centre.schema.json"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "mapping.md"
SECTIONS = {
    "The centre": "", "A source (`sources.<name>`)": "source", "A layout (`layouts`)": "layout",
    "How a file is read (`read`)": "read", "A condition (`where`, `drop_rows`, `stop_at`)": "condition",
    "A part of a staged table (`tables.<table>`)": "part", "Columns become rows (`unpivot`)": "unpivot",
    "Columns of another source (`lookup`)": "lookup", "A field (`fields.<column>`)": "field",
    "Rows become one (`rollup`)": "rollup",
}  # fmt: skip
HEAD = """# The mapping language

One `centres/<id>/centre.yaml` says what a hospital sends and what its words mean. These are all words there are; an
editor completes them, and a wrong one is refused with its line and the nearest right word. `centres/_template` shows
each in use. Written from `pipelines/schemas/centre.schema.json` by `python -m pipelines.mapping_words`.

Of every field staging keeps a value, or a finding with file, row and the raw text: nothing is guessed. A date that may
be partial keeps its precision and bounds in `partial_dates`. A record with a wrong number of cells, a byte of another
encoding, a missing key column or a value that names a person rejects the delivery.
"""


def reference() -> str:
    """The page: a table of words for each part of the language."""
    document = json.loads(SCHEMA.read_text(encoding="utf-8"))
    parts = [HEAD]
    for title, name in SECTIONS.items():
        node = document["$defs"][name] if name else document
        about = f"{node['description']}\n\n" if name and "description" in node else ""
        lines = "\n".join(_lines(document, node, ""))
        parts.append(f"## {title}\n\n{about}| word | meaning |\n|---|---|\n{lines}\n")
    return "\n".join(parts)


def _lines(document: Mapping[str, Any], node: Mapping[str, Any], above: str) -> Iterator[str]:
    for word, about in node.get("properties", {}).items():
        meant = document["$defs"][about["$ref"].split("/")[-1]] if "$ref" in about else about
        words = [f"`{w}`" for w in meant.get("enum", meant.get("items", {}).get("enum", ()))]
        text = about.get("description", meant.get("description", ""))
        must = " (required)" if word in node.get("required", ()) else ""
        cells = f"{text} {', '.join(words)}".strip().replace("|", "\\|")
        yield f"| `{above}{word}`{must} | {cells} |"
        yield from _lines(document, about if "properties" in about else about.get("items", {}), f"{above}{word}.")


if __name__ == "__main__":
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(reference(), encoding="utf-8")
