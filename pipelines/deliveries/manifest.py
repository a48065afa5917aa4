"""What a delivery says of itself: `manifest.yaml` with the extract date and each file's sha256."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from pipelines import study
from pipelines.errors import MappingError, Problem

NAME = "manifest.yaml"
LEADING_DATE = re.compile(r"^(\d{4}-\d{2}-\d{2})(?!\d)")


@dataclass(frozen=True)
class Manifest:
    """The extract date as ISO text (None where it is not given) and the sha256 that the sender saw, by path."""

    extract_date: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)


def read_manifest(path: Path) -> tuple[Manifest, list[Problem]]:
    """Read a manifest; a delivery need not have one. What it must not say comes back as problems."""
    if not path.is_file():
        return Manifest(), []
    try:
        raw = study.read_yaml(path)
    except (MappingError, UnicodeDecodeError):
        return Manifest(), [Problem(NAME, "", "a readable YAML file", "Correct the manifest, or send none.")]
    files = raw.get("files", {}) if isinstance(raw, dict) else None
    if not isinstance(files, dict):
        return Manifest(), [Problem(NAME, "", "extract_date and files", "Correct the manifest, or send none.")]
    given = raw.get("extract_date")
    day = str(given) if type(given) is date else iso_date(str(given)) if given is not None else None
    if given is not None and day is None:
        problem = Problem(NAME, "extract_date", "a date as YYYY-MM-DD", "Correct the manifest and send it again.")
        return Manifest(None, {}), [problem]
    return Manifest(day, {str(name): str(sha) for name, sha in files.items()}), []


def iso_date(text: str) -> str | None:
    """The calendar date that `text` begins with, or None."""
    found = LEADING_DATE.match(text)
    try:
        return date.fromisoformat(found[1]).isoformat() if found else None
    except ValueError:
        return None


def compare(manifest: Manifest, sha256_by_path: Mapping[str, str]) -> list[Problem]:
    """Files that the manifest names and that are absent or have other bytes: lost or cut off on the way."""
    action = "Send the delivery again; it was damaged or was not complete."
    return [
        Problem(
            path,
            "",
            "the file that the manifest names" if have is None else "the bytes of the manifest's sha256",
            action,
        )
        for path, sha in manifest.files.items()
        if (have := sha256_by_path.get(path)) != sha.lower()
    ]
