"""DICOM RT files of a sample export looked at: plans and treatment records, whose columns the standard explains."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pipelines import yaml_schema
from pipelines.errors import UsageError
from pipelines.profile.seen import Extra, Seen
from pipelines.readers.read import read

SUBJECT, COURSE = "PatientID", "StudyID"
STANDARD = "as the DICOM standard has it"


@cache
def _recipes() -> dict[str, Any]:
    """What the columns of plans and records mean, from `dicom.yaml`."""
    return dict(yaml_schema.read(Path(__file__).parent / "dicom.yaml"))


def look(paths: Sequence[Path]) -> list[Seen]:
    """A table of plans and one of records; other files (images, dose grids) are none. Raises `UnreadableFile`."""
    files = [(path.name, path) for path in paths]
    globs = sorted({_glob(path) for path in paths})
    rows = {modality: read(files, {"format": "dicom", "modality": modality}) for modality in _recipes()}
    found = {modality: table for modality, table in rows.items() if len(table)}
    if not found:
        raise UsageError(f"{paths[0].name}: neither an RT plan nor a treatment record among the DICOM files.")
    has_courses = all(table[COURSE].null_count == 0 for table in found.values())
    sources = {recipe["source"] for modality, recipe in _recipes().items() if modality in found}
    seen = []
    for modality, table in found.items():
        recipe = _recipes()[modality]
        course = COURSE if has_courses else recipe["instead"]
        extra = [Extra(word, value, STANDARD) for word, value in recipe["words"].items()]
        if not has_courses:
            extra = [_with_ignored(e, COURSE) for e in extra]
        tables = {t: [_course(part, course) for part in parts] for t, parts in recipe["tables"].items()}
        # what is delivered is known with the plan's doses only
        tables = {t: parts for t, parts in tables.items() if all(_sources_of(p) <= sources for p in parts)}
        seen.append(
            Seen(
                recipe["source"], paths[0].name, {"format": "dicom", "modality": modality},
                [f"DICOM files of modality {modality}, under any name"], (SUBJECT,), table, globs=globs, extra=extra,
                recipe=tables,
            )
        )  # fmt: skip
    return seen


def _glob(path: Path) -> str:
    """By the ending, unless that is the last number of an identifier."""
    return f"*{path.suffix}" if path.suffix[1:].isalpha() else re.sub(r"\d[\d_.-]*", "*", path.name)


def _with_ignored(extra: Extra, column: str) -> Extra:
    return Extra(extra.word, [*extra.value, column], extra.why) if extra.word == "ignore" else extra


def _course(part: Mapping[str, Any], column: str) -> dict[str, Any]:
    """A part with the column that names the course."""
    return {**part, "fields": {**part["fields"], "course_id": {"from": column}}}


def _sources_of(part: Mapping[str, Any]) -> set[str]:
    return {part["source"], *([part["lookup"]["source"]] if "lookup" in part else [])}
