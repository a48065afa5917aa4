"""From the archive to `landed/<centre>/<delivery_id>/`: all-text rows of the columns that the mapping names."""

import fnmatch
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import warehouse
from pipelines.deliveries import ledger, unknown, unpack
from pipelines.deliveries.earlier import before, changes_only, in_order
from pipelines.deliveries.ledger import Delivery, object_path
from pipelines.deliveries.manifest import NAME
from pipelines.deliveries.parts import is_list, is_renamed_list
from pipelines.deliveries.rows import File, Landing, land_rows
from pipelines.errors import DeliveryRejected, Problem
from pipelines.study import sql_literal
from pipelines.warehouse import Home

if TYPE_CHECKING:
    from pipelines.mapping import Centre, Source


NO_SNAPSHOT = "structure/changes_without_snapshot"


@dataclass(frozen=True)
class Landed:
    """The rows of a delivery, and whether it states what was taken away (a transactional export does)."""

    n_rows: int
    states_removals: bool


@warehouse.again_with_room
def land(home: Home, centre: "Centre", delivery: Delivery, limit: str | None = warehouse.SHARE) -> Landed:
    """Write one Parquet file a source, with `_notes` and `_received`.

    Output grain: one row per row of a source's files, in their order, all text: delivery_id, file_sha256, source_file,
    source_row and the named raw columns. Raises `DeliveryRejected` with every problem found; then nothing is written.
    `limit`: the memory of the database that does it.
    """
    centre = centre.on(delivery.extract_date)
    out = home.landed / centre.name / delivery.delivery_id
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".landing-", dir=out.parent) as scratch,
        closing(warehouse.memory(Path(scratch), limit)) as con,
    ):
        # with one thread rows keep their order at no cost; centres are landed side by side
        con.execute("set threads = 1")
        draft = Path(scratch) / "landed"
        draft.mkdir()
        landing = Landing(con, draft, Path(scratch), delivery.delivery_id)
        files, landing.problems = _files(home, delivery, Path(scratch) / "unpacked")
        older: list[list[File]] = []
        if not landing.problems:
            older = _older_files(home, centre, delivery, files, landing)
            # a dictionary comes before what it describes
            for name, source in sorted(centre.sources.items(), key=lambda item: item[1].dictionary != ""):
                _land_source(landing, centre, name, source, files, older)
        if not landing.problems:
            layouts = {name: layout_of(source, files) for name, source in centre.sources.items()}
            landing.notes += unknown.item_groups(layouts, landing.scratch)
            of_older = [{name: layout_of(s, held) for name, s in centre.sources.items()} for held in reversed(older)]
            words = (note for found in [*of_older, layouts] for note in unknown.code_words(centre, found))
            landing.notes += {(note[1], note[4]): note for note in words}.values()  # of an item that of the newest file
        action = "Add the file and send the delivery again."
        landing.problems += [
            Problem(expected, "", "this file in the delivery", action) for expected in landing.missing.values()
        ]
        if landing.problems:
            # a file that holds many sources is broken once
            raise DeliveryRejected(centre.name, delivery.name, list(dict.fromkeys(landing.problems)))
        _write_lists(landing, files)
        shutil.rmtree(out, ignore_errors=True)
        draft.rename(out)
    return Landed(landing.n_rows, bool(older))


def _files(home: Home, delivery: Delivery, folder: Path) -> tuple[list[File], list[Problem]]:
    """The delivery's files with archives opened; the manifest is none of them. Raises `RestageError` where the archive
    does not hold them as they came: what a disk has changed would pass for what a centre sent."""
    ledger.hold_sound(home, delivery)
    files: list[File] = []
    problems: list[Problem] = []
    for number, (name, about) in enumerate(sorted(delivery.files.items())):
        sha256 = str(about["sha256"])
        path = object_path(home, sha256)
        if name == NAME:
            continue
        if not unpack.is_archive(name):
            files.append(File(name, path, sha256))
            continue
        members, faults = unpack.unpack(name, path, folder / str(number))
        files += [File(member, where, sha256) for member, where in members]
        # who packed a reply with the export waits for what we would never read
        action = "Put the list of queries beside the archive, or into a folder of its own, and send it again."
        lists = [member for member, where in members if is_list(member) or is_renamed_list(member, where)]
        faults += [Problem(member, "", "an export in the archive", action) for member in lists]
        problems += faults
    return files, problems


def states_changes(centre: "Centre", files: Sequence[File]) -> bool:
    """Whether a delivery holds the changes since the one before it, and no snapshot."""
    return any(changes_only(*layout_of(source, files)) for source in centre.sources.values())


def _older_files(
    home: Home, centre: "Centre", delivery: Delivery, files: Sequence[File], landing: Landing
) -> list[list[File]]:
    """The files of the deliveries that this one stands on, the newest first and down to a snapshot; mostly none.

    Changes to no snapshot are noted: what they do not change is not known."""
    found: list[list[File]] = []
    if states_changes(centre, files):
        for earlier in before(home, delivery):
            older, _ = _files(home, earlier, landing.scratch / earlier.delivery_id)
            found.append([replace(f, delivery_id=earlier.delivery_id) for f in older])
            if not states_changes(centre, older):
                break
        else:
            name, file = next(
                (name, changes[0].source_file)
                for name, source in centre.sources.items()
                if changes_only(*(about := layout_of(source, files))) and (changes := about[1])
            )
            landing.notes.append((NO_SNAPSHOT, name, file, "1", "FileType", "Transactional", "a snapshot before it"))
    return found


def layout_of(source: "Source", files: Sequence[File]) -> tuple["Source", list[File]]:
    """The first of a source's layouts that finds any file, and the files."""
    layouts = [source, *source.alternatives]
    return next(((each, got) for each in layouts if (got := _matching(each, files))), (source, []))


def _matching(source: "Source", files: Sequence[File]) -> list[File]:
    """Files whose path, or last part of it, matches one of the source's globs; `a.zip!dir/x` ends in `x`."""
    return [
        f
        for f in files
        if any(
            fnmatch.fnmatchcase(name, glob)
            for glob in source.files
            for name in (f.source_file, f.source_file.split("!")[-1], f.source_file.split("!")[-1].rsplit("/")[-1])
        )
    ]


def _land_source(
    landing: Landing,
    centre: "Centre",
    name: str,
    source: "Source",
    files: Sequence[File],
    older: Sequence[Sequence[File]],
) -> None:
    """Read the files of one source by the first of its alternatives that finds any.

    Where the delivery states changes, `older` files come before them; what it does not hold is as it was.
    """
    layout, found = layout_of(source, files)
    landing.used |= {f.source_file for f in found}
    found = in_order(layout, found)
    if not found or changes_only(layout, found):
        for there in older:
            layout, mine = layout_of(source, there)
            found = [*in_order(layout, mine), *found]
            if mine and not changes_only(layout, mine):
                break
    if not found:
        _note_missing(landing, name, [source, *source.alternatives])
        return
    empty = [f for f in found if f.path.stat().st_size == 0]
    if empty:
        action = "Export it again and send a new delivery."
        landing.problems += [Problem(f.source_file, "", "a file with content", action) for f in empty]
        return
    land_rows(landing, centre, name, layout, _once(landing, name, layout, found))


def _once(landing: Landing, name: str, layout: "Source", files: Sequence[File]) -> list[File]:
    """The files of a source without those that another one equals byte for byte, which are noted; where a mapping says
    what may come again, staging tells of it."""
    if layout.one_content:
        return list(files)
    first: dict[tuple[str | None, str], File] = {}
    for file in sorted(files, key=lambda f: len(f.source_file)):  # a copy has the longer name
        one = first.setdefault((file.delivery_id, file.sha256), file)
        if one is not file and not file.delivery_id:
            about = ("0", None, one.source_file, "each file once")
            landing.notes.append(("structure/file_twice", name, file.source_file, *about))
            landing.received.append((name, file.source_file, file.sha256, 0, "1"))
    return [file for file in files if file in first.values()]


def _note_missing(landing: Landing, name: str, layouts: Sequence["Source"]) -> None:
    expected = " / ".join(glob for layout in layouts for glob in layout.files)  # read in every language
    if layouts[0].required:
        # one workbook may hold many sources, and is missing once
        landing.missing.setdefault(layouts[0].files, expected)
    else:
        landing.notes.append(("structure/missing_file", name, expected, "0", None, None, "this file in the delivery"))


def _write_lists(landing: Landing, files: Sequence[File]) -> None:
    """`_received`: one row per file and source (a file that no source reads has none); `_notes`: what was noticed."""
    import pyarrow as pa

    columns = ("rule_id", "source", "source_file", "source_row", "field", "value_received", "expected")
    # what is noted of a file as a whole, or of its row, is noted once, however many sources look at it
    notes = list({note if note[4] else (note[0], *note[2:]): note for note in reversed(landing.notes)}.values())[::-1]
    unread = [(None, f.source_file, f.sha256, None, "1") for f in files if f.source_file not in landing.used]
    text = dict.fromkeys(columns, pa.string())
    sources = {
        "source": pa.string(),
        "source_file": pa.string(),
        "file_sha256": pa.string(),
        "n_rows": pa.int64(),
        "header": pa.string(),
    }
    for name, types, rows in (("notes", text, notes), ("received", sources, [*landing.received, *unread])):
        table = pa.table([[row[i] for row in rows] for i in range(len(types))], pa.schema(types.items()))
        landing.con.register(name, table)
        target = sql_literal(str(landing.out / f"_{name}.parquet"))
        landing.con.execute(f"copy (from {name} order by all) to {target} (format parquet, compression zstd)")
