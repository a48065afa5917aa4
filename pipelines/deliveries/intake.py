"""From the inbox to the archive: every folder that is new is copied by sha256 and entered in the ledger."""

import re
import stat
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from pipelines.deliveries import ledger, search
from pipelines.deliveries.gone import finish, let_go, letting_go
from pipelines.deliveries.inbox import (
    StillGrowing,
    content_hash_of,
    entries,
    files_of,
    signature_of,
    waiting,
)
from pipelines.deliveries.ledger import Delivery
from pipelines.deliveries.manifest import NAME, Manifest, compare, iso_date, read_manifest
from pipelines.deliveries.parts import is_answer, is_renamed_list, kinds, lying
from pipelines.deliveries.seen import read_seen, spoken, write_seen
from pipelines.errors import Problem
from pipelines.warehouse import Home


def intake(
    home: Home, centres: Collection[str], wanted: Callable[[str, Path], bool] = lambda centre, folder: True
) -> list[Delivery]:
    """Take in what the inbox holds and the archive does not; returns the new ledger entries in their order.

    Input: `inbox/<centre>/<delivery>/`, one folder (or one single file) a delivery, of those that are `wanted`; a list
    of queries beside an export is a delivery of its own, after it. A folder that did not change since it was taken in
    is not read again; one that changed is another delivery. Nothing is removed from the inbox.
    """
    finish(home)
    before, noted = read_seen(home), ledger.seen(home)
    seen, new = dict(before), []
    for centre, folder in waiting(home):
        place, signature = f"{centre}/{folder.name}", signature_of(folder)
        if not signature or seen.get(place) == signature or not wanted(centre, folder):
            continue
        try:
            arrived = _take(home, centre, folder, centre in centres)
        except (StillGrowing, FileNotFoundError):  # a file that was there has another name by now
            continue
        for part in arrived:
            if (delivery := _told(home, part)) is not None:
                _enter(home, delivery := _kept_out(home, delivery))
                new.append(delivery)
        # a subject may have been taken out of what lies there since it first came
        let_go(home, ledger.by_place(home).get((centre, spoken(folder.name)), []))
        now = ledger.seen(home).get(place, "")  # another one where a subject was taken out of it just now
        seen[place] = signature if now == noted.get(place, "") else now
    if seen != before:
        write_seen(home, seen)
    return sorted(new, key=lambda d: d.order)


def archived(home: Home) -> dict[tuple[str, str], list[str]]:
    """Centre and name in the inbox -> content hashes of what came from there, in order: in a home that was copied or
    restored every file of the inbox looks new by its times."""
    return {
        place: [content_hash_of(*place, {n: str(f["sha256"]) for n, f in there.items()}) for there in lying(came)]
        for place, came in ledger.by_place(home).items()
    }


def unseen(home: Home) -> list[tuple[str, Path]]:
    """Centre and path of what waits in the inbox to be taken in; what has been from where it lies is not read."""
    seen, known = read_seen(home), archived(home)

    def is_known(centre: str, folder: Path) -> bool:
        files = files_of(folder)
        before = known.get((centre, folder.name), [])
        return files is not None and content_hash_of(centre, folder.name, files) in before[-1:]

    return [
        (centre, folder) for centre, folder in waiting(home)
        if seen.get(f"{centre}/{folder.name}") != signature_of(folder) and not is_known(centre, folder)
    ]  # fmt: skip


def _kept_out(home: Home, delivery: Delivery) -> Delivery:
    """A delivery that is rejected unread, without files where one holds somebody who has withdrawn."""
    if delivery.state != "rejected" or not search.names_withdrawn(home, delivery):
        return delivery
    return replace(delivery, files={}, erased={name: str(f["sha256"]) for name, f in delivery.files.items()})


def _enter(home: Home, delivery: Delivery) -> None:
    if delivery.erased:
        letting_go(home, delivery.centre).touch()
    ledger.append(home, delivery)
    if delivery.erased:
        let_go(home, [delivery])
        letting_go(home, delivery.centre).unlink()


def _take(home: Home, centre: str, folder: Path, known: bool) -> list[Delivery]:
    """Archive what lies in one folder: an export, an answer or one of each; what cannot be taken stays together."""
    received, problems = ledger.now(), []
    files: dict[str, dict[str, str | int]] = {}
    if not known:
        action = "Correct the folder's name, or add the centre's folder to centres/."
        problems.append(Problem(centre, "", "a centre that this study knows", action))
    for raw, path in [("", folder), *entries(folder)]:
        name = spoken(raw)
        if spoken(path.name) != path.name:
            expected = "a name in UTF-8 without control characters"
            problems.append(Problem(spoken(path.name), "", expected, "Rename it and send it again."))
        if not raw:
            continue
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            problems.append(Problem(name, "", "a folder that may be read", "Change its permissions."))
        elif not stat.S_ISREG(mode):
            problems.append(
                Problem(name, "", "a plain file, no link or device", "Put the file itself into the delivery.")
            )
        else:
            try:
                files[name] = _archive(home, name, path)
            except PermissionError:
                problems.append(Problem(name, "", "a file that may be read", "Change its permissions."))
    manifest, unread = read_manifest(folder / NAME) if NAME in files else (Manifest(), [])
    problems += unread or compare(manifest, {name: str(f["sha256"]) for name, f in files.items()})
    content = files.keys() - {NAME}
    if not content and not problems:
        problems.append(
            Problem(spoken(folder.name), "", "at least one file", "Put the export's files into the folder.")
        )
    day = manifest.extract_date or iso_date(folder.name)
    whole = Delivery(
        "", centre, spoken(folder.name),
        received,
        day or received[:10], files, "rejected" if problems else "received", tuple(map(str, problems)),
        not problems, day is not None, removes=bool(manifest.removed),
    )  # fmt: skip
    parts = [set(files)] if problems else kinds(files)
    return [replace(whole, files={name: files[name] for name in files if name in part}) for part in parts]


def _told(home: Home, delivery: Delivery) -> Delivery | None:
    """A delivery with its name in the ledger, and what it is; None when the ledger has it already."""
    digest = ledger.content_hash({name: str(f["sha256"]) for name, f in delivery.files.items()})
    digest_id = f"{delivery.centre}-{re.sub(r'[^0-9A-Za-z_-]+', '_', delivery.name)[:40]}-{digest[:8]}"
    delivery = replace(delivery, delivery_id=digest_id)
    before = ledger.read(home)
    same = re.compile(rf"{re.escape(digest_id)}(-[0-9]+)?").fullmatch
    came = ledger.by_place(home).get((delivery.centre, delivery.name), [])
    answers = is_answer(delivery)
    here = [d for d in came if is_answer(d) == answers]
    if again := [d for d in here if same(d.delivery_id)]:
        if again[-1] == here[-1]:
            return None
        # other files came under this name since, so the centre went back to these
        if again[-1].erased or any("was" in about for about in again[-1].files.values()):
            left = again[-1]
            delivery = replace(delivery, files=left.files, erased=left.erased, readable=left.readable)
    if known_as := [d for d in before if same(d.delivery_id)]:
        delivery = replace(delivery, delivery_id=f"{digest_id}-{len(known_as) + 1}")
    if delivery.state == "rejected":
        return delivery
    if answers:
        return delivery.decided("answer")
    twin = _twin(delivery, before)
    return delivery.decided("duplicate", (f"the same files as {twin.name}",)) if twin else delivery


def _archive(home: Home, name: str, path: Path) -> dict[str, str | int]:
    before = path.stat()
    sha256, size = ledger.store(home, path)
    after = path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or size != after.st_size:
        raise StillGrowing
    told = {"list": 1} if is_renamed_list(name, ledger.object_path(home, sha256)) else {}
    return {"sha256": sha256, "size": size, **told}


def _twin(delivery: Delivery, before: list[Delivery]) -> Delivery | None:
    """The delivery just before or after this one in the order, when it holds the same files.

    An older snapshot that comes again after another one is no duplicate: the centre went back to it.
    """
    others = [d for d in before if d.centre == delivery.centre and d.state in ("received", "accepted", "duplicate")]
    earlier = [d for d in others if d.order < delivery.order][-1:]
    later = [d for d in others if d.order > delivery.order][:1]
    return next((d for d in [*earlier, *later] if d.content == delivery.content), None)
