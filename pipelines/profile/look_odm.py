"""ODM-XML of a sample export looked at: its item groups, and whether its rows are transactions."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipelines.errors import UnreadableFile, UsageError
from pipelines.profile.seen import ROW, Extra, Seen, source_of
from pipelines.readers import odm, odm_words
from pipelines.readers.odm_walk import KEYS, NULLS
from pipelines.readers.read import read

OWN = (*KEYS, "FormRepeatKey", NULLS)
TYPE = "TransactionType"
# from the subject down; what the record is within its item group comes last
RECORD = ["SubjectKey", "StudyEventOID", "StudyEventRepeatKey", "FormOID", "FormRepeatKey", "ItemGroupOID",
          "ItemGroupRepeatKey"]  # fmt: skip
STATED = ("Insert", "Upsert")  # rows that hold a whole record


def look(paths: Sequence[Path]) -> list[Seen]:
    """A table per item group, of all files that hold it. Raises `UnreadableFile`, and `UsageError` without any."""
    with tempfile.TemporaryDirectory() as scratch:
        groups: dict[str, list[tuple[str, Path]]] = {}
        for path in paths:
            try:
                found = odm.item_groups(path, Path(scratch))
            except UnreadableFile as error:
                raise UnreadableFile([replace(p, source_file=path.name) for p in error.problems]) from error
            for group in found:
                groups.setdefault(group, []).append((path.name, path))
        is_changes = any(odm.file_type(path) == "Transactional" for path in paths)
        tables = [_seen(group, files, Path(scratch), is_changes) for group, files in groups.items()]
        if not any(len(seen.names) > 1 for seen in tables):
            raise UsageError(f"{paths[0].name}: an ODM file without clinical data. Export it with its data.")
        globs = sorted({f"*{path.suffix}" for path in paths})
        said = {oid: item for path in reversed(paths) for oid, item in odm_words.items(path).items()}
        labels = {oid: item.label for oid, item in said.items()}
        codes = {oid: item.codes for oid, item in said.items()}
        return [
            replace(seen, globs=globs, version=odm.version(paths[0]), labels=labels, codes=codes)
            for seen in tables
            if len(seen.names) > 1  # an item group without items says nothing
        ]


def _seen(group: str, files: list[tuple[str, Path]], scratch: Path, is_changes: bool) -> Seen:
    import pyarrow as pa
    import pyarrow.compute as pc

    spec = {"format": "odm", "item_group": group}
    rows = read(files, spec | {"scratch": str(scratch)})
    why = ["an item group of an ODM file"]
    own_ids = "StudySubjectID" if rows["StudySubjectID"].null_count == 0 else "SubjectKey"
    items = tuple(c for c in rows.column_names if c not in (*ROW, *OWN))
    if is_changes or rows[TYPE].null_count < len(rows):
        how = {"by": RECORD, "type": TYPE, "nulls": NULLS}
        extra = [Extra("transactions", how, "its rows say what they do")]
    else:
        known = [c for c in rows.column_names if c in OWN and c != own_ids]
        extra = [Extra("ignore", known, "keys of the format, which name no visit or lesion")]
    # a file of changes need not have every item
    extra = [Extra("key", [own_ids], "filled in every row"), *extra]
    kind = rows[TYPE].combine_chunks()
    kept = rows.filter(pc.or_kleene(pc.is_null(kind), pc.invert(pc.equal(kind, "Remove"))))
    whole = rows.filter(pc.or_kleene(pc.is_null(kind), pc.is_in(kind, pa.array(STATED))))
    return Seen(
        source_of(group), files[0][0], spec, why, (own_ids, *items), kept, extra=extra,
        records=whole if len(whole) else kept,
    )  # fmt: skip
