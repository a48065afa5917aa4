"""FHIR R4 as NDJSON: one row per resource, its columns taken by declared paths."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import Problem, UnreadableFile

AGAIN = "Export it again as one FHIR resource a line."
STEP = re.compile(r"(\w+)(?:\[(\d+)\]|\('([^']+)'\))?")


def read_file(path: Path, spec: Mapping[str, Any]) -> dict[str, list[str | None]]:
    """One row per resource of type spec `resource` (and `profile`, by its ending); `source_row` is the line.

    spec `columns` maps each raw column to a path: `performedPeriod.start`, `coding[0].code`,
    `extension('total-dose').valueQuantity.value`, `coding('snomed').code`: in a list, the first entry whose url or
    system ends so. Numbers keep their digits.
    """
    rows = []
    try:
        with path.open(encoding="utf-8", errors="strict") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    resource = json.loads(line, parse_float=str, parse_int=str)
                    if _wanted(resource, spec):
                        rows.append((str(number), resource))
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise UnreadableFile([Problem("", f"line {number}", "one JSON object in UTF-8", AGAIN)]) from None
    paths = {name: [m.groups() for m in STEP.finditer(path)] for name, path in spec["columns"].items()}
    return {
        "source_row": [number for number, _ in rows],
        **{name: [_text(_follow(resource, steps)) for _, resource in rows] for name, steps in paths.items()},
    }


def _wanted(resource: Any, spec: Mapping[str, Any]) -> bool:
    profiles = resource.get("meta", {}).get("profile", [])
    return resource.get("resourceType") == spec["resource"] and (
        "profile" not in spec or any(p.endswith(spec["profile"]) for p in profiles)
    )


def _follow(node: Any, steps: list[Any]) -> Any:
    for name, index, ending in steps:
        node = node.get(name) if isinstance(node, dict) else None
        if isinstance(node, list):
            if ending is not None:
                named = (entry for entry in node if (entry.get("url") or entry.get("system") or "").endswith(ending))
                node = next(named, None)
            else:
                node = node[int(index or 0)] if int(index or 0) < len(node) else None
    return node


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else None
