"""When the study works by itself: `study/operation.yaml`, and what a home says otherwise."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import study
from pipelines.errors import MappingError
from pipelines.warehouse import Home
from pipelines.yaml_schema import Schema, read, refuse

NAME = "operation.yaml"
SCHEMA = Path(__file__).resolve().parent.parent / "schemas" / "operation.schema.json"


@dataclass(frozen=True)
class Settings:
    """What `study/operation.yaml` explains; seconds, days and per cent of a centre's cadence."""

    still_seconds: int
    look_every_seconds: int
    nightly: str
    timezone: str
    late_after_pct: int
    keep_runs_days: int
    keep_ticks_days: int
    owner: str
    reports_url: str


def load_settings(home: Home) -> Settings:
    """The study's settings with those of the home over them; raises `MappingError` with file and line."""
    return Settings(**_together(home, _checked))


def late_after_pct(home: Home) -> int:
    """After how much of its cadence a centre is late; without Dagster, which takes a second to import."""
    return int(_together(home, _read)["late_after_pct"])


def home_here() -> Home:
    """The home that this process works on: what its starter has put into the environment, else `study-home`."""
    return Home(Path(os.environ.get("RESTAGE_HOME") or "study-home").resolve(), os.environ.get("RESTAGE_AS_OF") or None)


def _together(home: Home, reading: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    own = home.root / NAME
    return reading(study.ROOT / "study" / NAME) | (reading(own) if own.exists() else {})


def _checked(path: Path) -> dict[str, Any]:
    """As `_read`, and what only Dagster can judge."""
    from dagster._core.definitions.utils import is_valid_owner
    from dagster._utils.schedules import is_valid_cron_string

    said = _read(path)
    if "nightly" in said and not is_valid_cron_string(said["nightly"]):
        raise MappingError(f"{path.name}: nightly: minute, hour, day, month and weekday as cron writes them.")
    if "owner" in said and not is_valid_owner(said["owner"]):
        raise MappingError(f"{path.name}: owner: team:<name> or an e-mail address, as Dagster takes it.")
    return said


def _read(path: Path) -> dict[str, Any]:
    said = read(path)
    refuse(path, Schema(json.loads(SCHEMA.read_text(encoding="utf-8"))).errors(said))
    return dict(said)
