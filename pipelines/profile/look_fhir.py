"""FHIR resources of a sample export looked at: which kinds there are, and the paths that lead to their values."""

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import UsageError
from pipelines.profile.kinds import REPEATED
from pipelines.profile.seen import Extra, Seen, glob_of, source_of, words
from pipelines.readers.fhir import STEP
from pipelines.readers.read import read

if TYPE_CHECKING:
    import pyarrow as pa

LOOKED_AT = 5000  # resources of a file that tell which paths there are
LISTED = {"extension": "url", "modifierExtension": "url"}  # what tells entries of a list from each other; else:
SYSTEM = "system"
OWN = ("identifier[use=usual].value", "identifier[0].value")  # what people call the thing that a resource is about
USES = ("usual", "official", "temp", "secondary", "old")  # of an identifier
IN_ERROR = "entered-in-error"
Kind = tuple[str, str]  # resource, and the end of its profile


def look(paths: Sequence[Path], known: Mapping[tuple[str, str], str]) -> list[Seen]:
    """A table per resource and profile. `known`: (resource, path) -> what other centres call the column.

    A column is a path to a value; what names a person is left out. Raises `UnreadableFile`, and `UsageError` for a
    bundle.
    """
    kinds: dict[Kind, _Found] = {}
    for path in paths:
        for resource in _resources(path):
            kind = str(resource.get("resourceType", "")), _profile(resource)
            if kind[0] == "Bundle":
                raise UsageError(f"{path.name}: a bundle. Export its resources one a line (NDJSON).")
            kinds.setdefault(kind, _Found()).add(path, resource)
    if not kinds:
        _refuse(paths)
    for kind in [k for k in kinds if k[1] and (k[0], "") in kinds]:
        # a source without a profile reads those that have one, too
        kinds[kind[0], ""].join(kinds.pop(kind))
    names = Counter(resource for resource, _ in kinds)
    return [_seen(kind, found, known, alone=names[kind[0]] == 1) for kind, found in kinds.items()]


@dataclass
class _Found:
    """Resources of one kind: their paths with the words they consist of, and in how many resources each stands."""

    words: dict[str, tuple[str, ...]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    files: dict[str, Path] = field(default_factory=dict)
    persons: set[str] = field(default_factory=set)

    def add(self, path: Path, resource: dict[str, Any]) -> None:
        here = _paths(resource)
        self.words |= here
        self.counts.update(here.keys())
        self.files[path.name] = path
        self.persons |= set(words()["fhir_persons"]) & resource.keys()

    def join(self, other: "_Found") -> None:
        self.words |= other.words
        self.counts.update(other.counts)
        self.files |= other.files
        self.persons |= other.persons

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """The paths, without those whose address stands in few resources: what is rarer may be somebody's."""
        enough = min(REPEATED, self.counts["id"])
        return {path: said for path, said in self.words.items() if "('" not in path or self.counts[path] >= enough}


def _refuse(paths: Sequence[Path]) -> None:
    """Say why there is no resource in these files."""
    for path in paths:
        try:
            json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            continue
        raise UsageError(f"{path.name}: JSON over several lines. Export its resources one a line (NDJSON).")
    # what is wrong with single lines is the reader's to say
    read([(p.name, p) for p in paths], {"format": "fhir", "resource": "Patient", "columns": {"id": "id"}})
    raise UsageError(f"{paths[0].name}: no FHIR resource in it. Export one resource a line (NDJSON).")


def _resources(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for _, line in zip(range(LOOKED_AT), file, strict=False):
            try:
                found = json.loads(line) if line.strip() else None
            except (ValueError, RecursionError):
                continue  # the reader will say so
            if isinstance(found, dict):
                yield found


def _profile(resource: Mapping[str, Any]) -> str:
    """The last of its profiles, without the address before it and the version behind it."""
    profiles = (resource.get("meta") or {}).get("profile") or []
    return str(profiles[-1]).partition("|")[0].rpartition("/")[2] if profiles else ""


def _paths(resource: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Path -> the words that it consists of, of every value in a resource that names no person."""
    left_out = {"resourceType", "meta", "contained", "text", *words()["fhir_persons"]}
    found: dict[str, tuple[str, ...]] = {"id": ("id",)}
    if (resource.get("meta") or {}).get("versionId"):
        found["meta.versionId"] = ("version",)
    for name, value in resource.items():
        if name not in left_out and name != "id":
            found |= _walk(value, name, (name,))
    return found


def _walk(value: Any, path: str, said: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            kind = value["reference"].rpartition("/")[0].rpartition("/")[2]
            # only a patient's is an id that other files have, too
            word = () if kind == "Patient" else ("reference",)
            return {f"{path}.reference('{kind}')": (*said, *word)} if kind else {}
        names = {"value", "unit"} if {"value", "unit"} <= value.keys() else value.keys() - {"system", "url", "use"}
        for name in sorted(names):
            word = () if name.startswith("value") or name in ("coding", "code") or name in LISTED else (name,)
            words_so_far = (*said[:-1], f"{said[-1]}_unit") if name == "unit" else (*said, *word)
            found |= _walk(value[name], f"{path}.{name}", words_so_far)
    elif isinstance(value, list):
        at, _, name = path.rpartition(".")
        for entry in value:
            address = entry.get(LISTED.get(name, SYSTEM)) if isinstance(entry, dict) else None
            ending = str(address).rstrip("/").rpartition("/")[2] if address else ""
            use = entry.get("use") if name == "identifier" and not ending else None
            step = f"{name}('{ending}')" if ending else f"{name}[use={use}]" if use in USES else f"{name}[0]"
            # a coding's system is what is expected; that of an extension or an identifier says what it is
            word = (re.split(r"[:/]", ending)[-1],) if ending and name != "coding" else ()
            kept = said[:-1] if word and said and said[-1] == name else said
            found |= _walk(entry, f"{at}.{step}" if at else step, (*kept, *word))
            if not ending and name in LISTED:
                break
    elif value is not None:
        found[path] = said
    return found


def _names(kind: Kind, columns: Mapping[str, tuple[str, ...]], known: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """Column -> path: as other centres call it, else the last words that tell it from the others."""
    found: dict[str, str] = {}
    for path, said in columns.items():
        called = next((name for (r, p), name in known.items() if r == kind[0] and _same(p, path)), "")
        if not called:
            ends = [said[-n:] for n in range(1, len(said) + 1)]
            alone = (e for e in ends if sum(1 for other in columns.values() if other[-len(e) :] == e) == 1)
            called = "_".join(next(alone, said))
        if path in OWN:
            about = "-".join(kind)
            called = next((name for part, name in words()["fhir_identifiers"].items() if part in about), called)
        called = "patient" if kind[0] == "Patient" and path == "id" else called
        n = sum(1 for name in found if re.fullmatch(re.escape(called) + r"(_\d+)?", name))
        found[f"{called}_{n + 1}" if n else called] = path
    return found


def _same(a: str, b: str) -> bool:
    """Whether two paths have the same steps, one of whose addresses may be longer."""
    mine, other = (STEP.findall(p) for p in (a, b))
    return len(mine) == len(other) and all(
        x == y and i == j and (e.endswith(f) or f.endswith(e)) and bool(e) == bool(f)
        for (x, i, e), (y, j, f) in zip(mine, other, strict=True)
    )


def _seen(kind: Kind, found: _Found, known: Mapping[tuple[str, str], str], alone: bool) -> Seen:
    resource, profile = kind
    named = _names(kind, found.columns, known)
    spec: dict[str, Any] = {"format": "fhir", "resource": resource}
    spec |= {"profile": profile} if profile else {}
    rows = read(list(found.files.items()), spec | {"columns": named})
    by_path = {path: c for c, path in named.items()}
    extra, own_id = [], by_path["id"]
    if "version" in named:
        newest = {"by": [own_id], "take": {"version": "max"}}
        extra.append(Extra("current_row", newest, "of several versions the newest holds"))
    if "status" in named:
        wrong = [{"where": {"status": {"in": [IN_ERROR]}}, "reason": "entered_in_error"}]
        extra.append(Extra("drop_rows", wrong, "FHIR's word for what is none"))
    units = {c: by_path[u] for c, p in named.items() if (u := f"{p.removesuffix('.value')}.unit") in by_path}
    own = {"id", "version", "status", *units.values()}
    # the id of a resource tells its versions from each other, and nothing else
    columns = {c: path for c, path in named.items() if c != "id" or "version" in named}
    return Seen(
        source_of(resource if alone else profile), next(iter(found.files)), spec | {"columns": columns},
        ["resources of FHIR, one a line"], tuple(c for c in named if c not in own), _current(rows, own_id, named),
        globs=sorted({*map(glob_of, found.files)}), extra=extra, units=units, not_read=sorted(found.persons),
    )  # fmt: skip


def _current(rows: "pa.Table", own_id: str, columns: Collection[str]) -> "pa.Table":
    """The newest version of each resource, unless it was entered in error."""
    import duckdb

    version = "try_cast(version as bigint) desc, version desc" if "version" in columns else "1"
    status = "status" if "status" in columns else "null"
    with duckdb.connect() as con:
        con.register("resources", rows)
        return con.execute(f"""
            select * from (
                select * from resources qualify row_number() over (partition by {own_id} order by {version}) = 1
            ) where {status} is distinct from '{IN_ERROR}'
        """).to_arrow_table()
