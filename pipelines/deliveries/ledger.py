"""The archive: what each centre sent, byte for byte by sha256, and what became of it in an append-only ledger."""

import hashlib
import json
import os
from collections.abc import Collection, Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import get_ident
from typing import Any

from pipelines.deliveries.lines import append_line
from pipelines.errors import RestageError
from pipelines.warehouse import Home

CHUNK = 1 << 20
MEND = (
    "Put the delivery into the inbox once more, the same files under the same name (or ask the centre to send the "
    "delivery again), and run. Or restore a backup into a new folder and copy its archive/objects over these."
)


@dataclass(frozen=True)
class Delivery:
    """One delivery as the ledger records it; the last line of a `delivery_id` holds.

    `state` is received (not looked into yet), accepted, rejected, duplicate (nothing in it is new) or answer (it holds
    only a reply to queries). `reasons` never hold a patient's value. `readable` is false where the files themselves are
    at fault, so that a corrected mapping cannot help. `extract_date` is the receipt date where none is `dated`.
    `judged_by` is the version of mapping and code under which the state was decided; `n_rows` were landed by it;
    `removes` where its manifest takes records away.
    A file from which a subject was taken out keeps the sha256 that it came with under `was`; `erased` are the files
    that went as a whole, with their sha256.
    """

    delivery_id: str
    centre: str
    name: str
    received: str
    extract_date: str
    files: Mapping[str, Mapping[str, str | int]]
    state: str
    reasons: tuple[str, ...] = ()
    readable: bool = True
    dated: bool = False
    judged_by: str = ""
    n_rows: int = 0
    removes: bool = False
    erased: Mapping[str, str] = field(default_factory=dict)  # a field that comes later has a default: old lines stay

    @property
    def order(self) -> tuple[str, str, bool, str]:
        """Deliveries follow each other by extract date, then by receipt; an answer follows the export beside it."""
        return self.extract_date, self.received, self.state == "answer", self.delivery_id

    @property
    def content(self) -> str:
        """Equal for two deliveries that hold the same files, whatever their names' dates and manifests say; one whose
        manifest takes records away is like no other."""
        same = {path: str(f["sha256"]) for path, f in self.files.items() if path != "manifest.yaml" or self.removes}
        return content_hash(same)

    def decided(self, state: str, reasons: tuple[str, ...] = (), judged_by: str = "", n_rows: int = 0) -> "Delivery":
        return replace(self, state=state, reasons=reasons, judged_by=judged_by, n_rows=n_rows)


KNOWN = {f.name for f in fields(Delivery)}
ALWAYS = {f.name for f in fields(Delivery) if f.default is MISSING and f.default_factory is MISSING}


def now() -> str:
    """This moment in UTC, ISO 8601 to the millisecond, so that text order is time order."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def content_hash(files: Mapping[str, str]) -> str:
    """One sha256 over paths and sha256 of files, whatever their order."""
    return hashlib.sha256("\n".join(f"{path}\t{sha}" for path, sha in sorted(files.items())).encode()).hexdigest()


def object_path(home: Home, sha256: str) -> Path:
    """Where the archive keeps the file with these bytes."""
    return home.archive / "objects" / sha256


def store(home: Home, path: Path) -> tuple[str, int]:
    """Copy one file into the archive; returns sha256 and size. Equal bytes are kept once; nothing is overwritten but
    a copy whose bytes the disk has changed."""
    objects = home.archive / "objects"
    objects.mkdir(parents=True, exist_ok=True)
    part = objects / f".part-{os.getpid()}-{get_ident()}"
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as source, part.open("wb") as copy:
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                copy.write(chunk)
                size += len(chunk)
        target = objects / digest.hexdigest()
        if fault(home, target.name, deep=True):
            part.chmod(0o444)
            part.rename(target)
    finally:
        part.unlink(missing_ok=True)
    return digest.hexdigest(), size


def fault(home: Home, sha256: str, deep: bool) -> str:
    """What is wrong with an archived file: `missing`, with `deep` also `damaged`, or nothing."""
    path = object_path(home, sha256)
    if not path.exists():
        return "missing"
    if not deep:
        return ""
    with path.open("rb") as file:
        return "" if hashlib.file_digest(file, "sha256").hexdigest() == sha256 else "damaged"


def unsound(home: Home, deep: bool = False, only: Delivery | None = None) -> list[tuple[Delivery, str, str]]:
    """Archived files of all deliveries, or of one, that are at fault: delivery, sha256 and `fault`."""
    held = [(d, str(f["sha256"])) for d in ([only] if only else read(home)) for f in d.files.values()]
    faults = {sha256: fault(home, sha256, deep) for _, sha256 in held}
    return [(d, sha256, faults[sha256]) for d, sha256 in held if faults[sha256]]


def hold_sound(home: Home, only: Delivery | None = None) -> None:
    """Read what all deliveries, or one, hold in the archive; raises `RestageError` where that is not what came."""
    if found := unsound(home, True, only):
        named = "; ".join(sorted({f"{d.centre}/{d.name}: {sha256[:12]} is {word}" for d, sha256, word in found}))
        raise RestageError(f"The archive does not hold what was received. {named}. {MEND}")


def append(home: Home, delivery: Delivery) -> None:
    """Write one more line; a crash can at most leave a last line that is cut off, which `read` leaves out."""
    home.archive.mkdir(parents=True, exist_ok=True)
    append_line(home.archive / "ledger.jsonl", json.dumps(asdict(delivery), ensure_ascii=False, sort_keys=True))


def read(home: Home) -> list[Delivery]:
    """All deliveries in their order, each with its last state; in a home with `as_of` those received by then."""
    known = (d for d in _found(home) if home.as_of is None or d.received[:10] <= home.as_of)
    return sorted(known, key=lambda d: d.order)


def by_place(home: Home) -> dict[tuple[str, str], list[Delivery]]:
    """Centre and name -> what came under that name, one after the other, whatever its dates and the clock say."""
    found: dict[tuple[str, str], list[Delivery]] = {}
    for d in _found(home):
        found.setdefault((d.centre, d.name), []).append(d)
    return found


def _found(home: Home) -> list[Delivery]:
    found: dict[str, Delivery] = {}
    for _, _, raw in lines(home):
        if raw is None:
            continue
        if raw.keys() - KNOWN:
            path = home.archive / "ledger.jsonl"
            raise RestageError(f"{path} was written by a newer version of restage. Use that version for this home.")
        found[raw["delivery_id"]] = Delivery(**{**raw, "reasons": tuple(raw["reasons"])})
    if not found and seen(home):
        raise RestageError(
            f"{home.archive}: ledger.jsonl is lost, which says what was received and when. Restore the newest backup "
            "into a new folder (`restage restore`). Without one remove seen.json there: then the next run takes in "
            "what still lies in the inbox, as received now."
        )
    return list(found.values())


def lines(home: Home) -> Iterator[tuple[int, bytes, dict[str, Any] | None]]:
    """The ledger line by line: number, bytes and what it says; None where it was damaged, or cut off with its run."""
    path = home.archive / "ledger.jsonl"
    for n, line in enumerate(path.read_bytes().split(b"\n") if path.exists() else [], 1):  # names may hold U+2028
        try:
            raw = json.loads(line.decode())
        except ValueError:
            raw = None
        if line:
            yield n, line, raw if isinstance(raw, dict) and raw.keys() >= ALWAYS else None


def seen(home: Home) -> dict[str, str]:
    """Place in the inbox -> signature of what was taken in from there; without the file all is looked at again."""
    try:
        return dict(json.loads((home.archive / "seen.json").read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return {}


def in_force(home: Home, centre: str) -> Delivery | None:
    """The newest snapshot of a centre that holds: the one that its rows are taken from."""
    snapshots = [d for d in chain(home, centre) if d.state != "answer"]
    return snapshots[-1] if snapshots else None


def standing(home: Home, centre: str) -> list[tuple[Delivery, str]]:
    """Every delivery of a centre with what it is now: in_force, superseded, or its state in the ledger."""
    holds = chain(home, centre)
    newest = in_force(home, centre)

    def now(d: Delivery) -> str:
        if d.state not in ("accepted", "duplicate"):
            return d.state
        return "in_force" if d == newest else "superseded" if d in holds else "duplicate"

    return [(d, now(d)) for d in read(home) if d.centre == centre]


def chain(home: Home, centre: str, also: Collection[str] = ()) -> list[Delivery]:
    """What a centre's rows are made from, in order: accepted snapshots, answers, and deliveries that are named.

    Of snapshots that follow each other with the same files the first one counts, whenever they were received: one that
    was a duplicate may have become a return to an older state, and the other way round. An answer that is sent again
    says nothing new.
    """
    found, before, said = [], "", set()
    for d in (d for d in read(home) if d.centre == centre):
        if d.state == "answer":
            if d.content not in said:
                found.append(d)
            said.add(d.content)
        elif (d.state in ("accepted", "duplicate") or d.delivery_id in also) and d.content != before:
            found.append(d)
            before = d.content
    return found


def repeats(home: Home, centre: str) -> list[Delivery]:
    """Exports of a later day that hold the same files as the one before: no row is new, and that is what they say.

    A file that is merely sent again has no later extract date, and says nothing.
    """
    found, before = [], None
    for d in (d for d in read(home) if d.centre == centre and d.state in ("accepted", "duplicate")):
        if before and d.content == before.content and d.dated and d.extract_date > before.extract_date:
            found.append(d)
        before = d
    return found
