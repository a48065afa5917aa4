"""A withdrawn subject leaves the archive: the files of a delivery are written anew without its rows.

Whatever else they hold keeps its place (`source_row`), so that the same rows come out of them as before.
"""

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.deliveries import denylist, ledger, unpack
from pipelines.deliveries.answers import read_answer
from pipelines.deliveries.erase_rows import WRITERS
from pipelines.deliveries.gone import let_go, letting_go
from pipelines.deliveries.land import layout_of
from pipelines.deliveries.ledger import Delivery, object_path
from pipelines.deliveries.manifest import NAME, manifest_of
from pipelines.deliveries.rows import File
from pipelines.disclosure import escape_formula, unescape_formula
from pipelines.warehouse import Home

if TYPE_CHECKING:
    from pipelines.mapping import Centre


def erase(home: Home, centre: "Centre", delivery: Delivery, ids: Collection[str]) -> Delivery:
    """Write the files of a delivery that was landed anew without the subjects `ids`; returns it as it is now.

    A file that no source reads, and may hold anything, goes as a whole; so does a file that is one subject's (DICOM).
    The ledger keeps the old sha256 beside the new one; the same files in other deliveries of the centre and in the
    inbox follow, but none goes that another one reads: its rows leave it when it is landed.
    """
    rows = denylist.rows_of(centre, home.landed / centre.name / delivery.delivery_id, ids)
    made: dict[str, str | None] = {}
    with tempfile.TemporaryDirectory(prefix=".erasing-", dir=home.archive) as scratch:
        goes = _Goes(rows, ids, Path(scratch))
        for name, about in delivery.files.items():
            old = str(about["sha256"])
            if name != NAME and not made.get(old):  # of two names for the same bytes one may be read
                made[old] = _without(home, centre, name, old, goes)
    made = {old: new for old, new in made.items() if new != old}
    read = {str(f["sha256"]) for name, f in delivery.files.items() if _reads(centre, name)}

    def leave(other: Delivery, name: str) -> bool:
        old = str(other.files[name]["sha256"])
        return made.get(old, old) is None and old not in read and _reads(centre.on(other.extract_date), name)

    return _enter(home, delivery, made, ids, leave)


def erase_all(home: Home, delivery: Delivery) -> None:
    """Enter a delivery that is rejected, and cannot be read without a subject: all of its files go, from it alone."""
    everything = {str(about["sha256"]): None for about in delivery.files.values()}
    _enter(home, delivery, everything, leave=lambda other, name: True)


def erase_answer(home: Home, centre: "Centre", answer: Delivery, ids: Collection[str]) -> Delivery:
    """An answer without the lines about these subjects."""
    made: dict[str, str | None] = {}
    known = {form.upper() for i in ids for form in (i, escape_formula(i))}  # as the list had to write it
    with tempfile.TemporaryDirectory(prefix=".erasing-", dir=home.archive) as scratch:
        for name, about in answer.files.items():
            if name == NAME:
                continue
            old = str(about["sha256"])
            spec, found = read_answer(centre, answer, name, object_path(home, old))
            named = found.column("local_id").to_pylist() if "local_id" in found.column_names else []
            places = found.column("source_row").to_pylist()
            mine = {p for p, i in zip(places, named, strict=False) if i and i.upper() in known}
            if mine:
                made[old] = _stored(home, object_path(home, old), name, [spec], _Goes({name: mine}, ids, Path(scratch)))
    return _enter(home, answer, made, ids)


def freed_answer(home: Home, centre: "Centre", answer: Delivery) -> Delivery:
    """An answer that comes after a subject has withdrawn, without its lines."""
    named: set[str] = set()
    for name, about in answer.files.items() if denylist.read(home) else ():
        if name != NAME:
            _, found = read_answer(centre, answer, name, object_path(home, str(about["sha256"])))
            if "local_id" in found.column_names:
                named.update(filter(None, found.column("local_id").to_pylist()))
    ids = denylist.among(home, centre.name, {form for i in named for form in (i, unescape_formula(i))})
    return erase_answer(home, centre, answer, ids) if ids else answer


@dataclass(frozen=True)
class _Goes:
    """What goes: places by source file, and the ids they are told by; files are made in `scratch`."""

    rows: Mapping[str, Collection[str]]
    ids: Collection[str]
    scratch: Path


def _without(home: Home, centre: "Centre", name: str, sha256: str, goes: _Goes) -> str | None:
    """The sha256 of a file without its rows; None where nothing of it stays."""
    path = object_path(home, sha256)
    if not unpack.is_archive(name):
        return _stored(home, path, name, _specs(centre, File(name, path, sha256)), goes)
    folder, draft = goes.scratch / "unpacked", goes.scratch / "archive.zip"
    members, _ = unpack.unpack(name, path, folder)
    with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, where in members:
            kept = _write(where, member, _specs(centre, File(member, where, sha256)), goes)
            if kept:
                # equal content gives equal bytes
                info = zipfile.ZipInfo(member.split("!", 1)[1])
                info.compress_type = zipfile.ZIP_DEFLATED
                with kept.open("rb") as source, archive.open(info, "w") as target:
                    shutil.copyfileobj(source, target)
    shutil.rmtree(folder)
    return ledger.store(home, draft)[0]


def _reads(centre: "Centre", name: str) -> bool:
    """Whether any source may read a file of this name; of an archive's members nobody knows before it is open."""
    return unpack.is_archive(name) or bool(_specs(centre, File(name, Path(), "")))


def _specs(centre: "Centre", file: File) -> list[Mapping[str, object]]:
    """How the sources that read a file read it."""
    layouts = (layout_of(source, [file]) for source in centre.sources.values())
    return [layout.read for layout, found in layouts if found]


def _stored(home: Home, path: Path, name: str, specs: list[Mapping[str, object]], goes: _Goes) -> str | None:
    kept = _write(path, name, specs, goes)
    return ledger.store(home, kept)[0] if kept else None


def _write(path: Path, name: str, specs: list[Mapping[str, object]], goes: _Goes) -> Path | None:
    """Write a file without what goes; None where nothing of it stays, or nobody reads it."""
    draft = goes.scratch / "file"
    draft.unlink(missing_ok=True)
    if specs:
        WRITERS[str(specs[0]["format"])](path, specs, goes.rows.get(name, ()), draft, goes.ids)
    return draft if draft.exists() else None


def _enter(
    home: Home,
    delivery: Delivery,
    made: Mapping[str, str | None],
    ids: Collection[str] = (),
    leave: Callable[[Delivery, str], bool] = lambda other, name: False,
) -> Delivery:
    """Enter new files for old ones in every delivery of the centre that holds them, and let the old ones go.

    `leave`: which files of other deliveries stay as they are.
    """
    now, changed = delivery, []
    letting_go(home, delivery.centre).touch()
    for each in (d for d in ledger.read(Home(home.root)) if d.centre == delivery.centre):
        own = each.delivery_id == delivery.delivery_id
        kept = {str(f["sha256"]) for name, f in each.files.items() if not own and leave(each, name)}
        theirs = {old: made[old] for f in each.files.values() if (old := str(f["sha256"])) in made.keys() - kept}
        if not theirs:
            continue
        known = delivery if own else each
        entry = _replaced(home, known, {**theirs, **_manifest(home, known, theirs, ids)})
        ledger.append(home, entry)
        changed.append(entry)
        if own:
            now = entry
    let_go(home, changed)
    letting_go(home, delivery.centre).unlink(missing_ok=True)
    return now


def _manifest(
    home: Home, delivery: Delivery, made: Mapping[str, str | None], ids: Collection[str]
) -> dict[str, str | None]:
    """The manifest with the sums of the new files, and without removals that name the subject."""
    if NAME not in delivery.files or str(delivery.files[NAME]["sha256"]) in made:
        return {}
    import yaml

    old = str(delivery.files[NAME]["sha256"])
    said = manifest_of(home, delivery)
    known = {i.upper() for i in ids}
    sums = {name: str(f["sha256"]) for name, f in delivery.files.items() if name in said.files}
    content: dict[str, Any] = {"extract_date": delivery.extract_date} if delivery.dated else {}
    content["files"] = {name: new for name, sha in sums.items() if (new := made.get(sha, sha))}
    if said.removed:
        content["removed"] = [dict(e) for e in said.removed if e.get("local_id", "").upper() not in known]
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=home.archive, prefix=".erasing-") as draft:
        yaml.safe_dump(content, draft, sort_keys=False, allow_unicode=True)
        draft.flush()
        return {old: ledger.store(home, Path(draft.name))[0]}


def _replaced(home: Home, delivery: Delivery, made: Mapping[str, str | None]) -> Delivery:
    files, erased = {}, dict(delivery.erased)
    for name, about in delivery.files.items():
        old = str(about["sha256"])
        new = made.get(old, old)
        if new is None:
            erased[name] = old
        elif new == old:
            files[name] = about
        else:
            size = object_path(home, new).stat().st_size
            files[name] = {**about, "sha256": new, "size": size, "was": _was([str(about.get("was", "")), old])}
    # of nothing no mapping can make anything
    return replace(delivery, files=files, erased=erased, readable=delivery.readable and bool(files))


def _was(sums: Iterable[str]) -> str:
    return " ".join(filter(None, sums))
