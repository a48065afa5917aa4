"""What a delivery says of itself: `manifest.yaml` with extract date, each file's sha256, and records taken away."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from pipelines import study
from pipelines.deliveries.ledger import Delivery, object_path
from pipelines.errors import MappingError, Problem
from pipelines.warehouse import Home

NAME = "manifest.yaml"
LEADING_DATE = re.compile(r"^(\d{4}-\d{2}-\d{2})(?!\d)")


@dataclass(frozen=True)
class Manifest:
    """The extract date as ISO text (None where it is not given), the sha256 that the sender saw, by path, and the
    records that the centre has deleted on purpose: `{table, local_id, <column of its key>: value}`."""

    extract_date: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    removed: tuple[Mapping[str, str], ...] = ()


def read_manifest(path: Path) -> tuple[Manifest, list[Problem]]:
    """Read a manifest; a delivery need not have one. What it must not say comes back as problems."""
    if not path.is_file():
        return Manifest(), []
    try:
        raw = study.read_yaml(path)
    except (MappingError, UnicodeDecodeError, PermissionError):
        return Manifest(), [Problem(NAME, "", "a readable YAML file", "Correct the manifest, or send none.")]
    files = raw.get("files", {}) if isinstance(raw, dict) else None
    if not isinstance(files, dict):
        return Manifest(), [Problem(NAME, "", "extract_date and files", "Correct the manifest, or send none.")]
    given = raw.get("extract_date")
    day = str(given) if type(given) is date else iso_date(str(given)) if given is not None else None
    if given is not None and day is None:
        problem = Problem(NAME, "extract_date", "a date as YYYY-MM-DD", "Correct the manifest and send it again.")
        return Manifest(None, {}), [problem]
    removed = raw.get("removed") or []
    if not isinstance(removed, list) or not all(isinstance(entry, dict) for entry in removed):
        return Manifest(), [Problem(NAME, "removed", "a list of records", "Correct the manifest and send it again.")]
    records = tuple({str(k): str(v) for k, v in entry.items()} for entry in removed)
    return Manifest(day, {str(name): str(sha) for name, sha in files.items()}, records), []


def manifest_of(home: Home, delivery: Delivery) -> Manifest:
    """The manifest that was archived with a delivery; an empty one where it had none."""
    if NAME not in delivery.files:
        return Manifest()
    return read_manifest(object_path(home, str(delivery.files[NAME]["sha256"])))[0]


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
