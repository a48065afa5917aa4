"""A backup of what cannot be made again: the archive, the keys, what was frozen and sent. Everything else follows.

Tables and reports are a function of the archive, so a backup stays small and a restore is followed by a run.
"""

import hashlib
import io
import json
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.deliveries import denylist, ledger
from pipelines.deliveries.inbox import content_of, entries
from pipelines.deliveries.ledger import Delivery, now
from pipelines.deliveries.parts import lying
from pipelines.errors import RestageError, UsageError
from pipelines.warehouse import Home

# what a run makes by itself; whatever else lies in a home is kept
MADE_AGAIN = (
    "dagster", "gx", "history", "landed", "reports", "staged", "state.json", "run.json", "run.lock", "warehouse.duckdb",
    "warehouse.duckdb.wal",
)  # fmt: skip
DRAFT = re.compile(r"\.scratch|\.removed-.*|\.part-.*|\.erasing-.*|\.looking-back-.*|.*\.(part|verifying|restoring)")
LIST = "backup.json"
FORMAT = 1


def backup(home: Home, target: Path) -> dict[str, Any]:
    """Write one compressed tar file that `restore` can make the home from; returns its list.

    The list (first member, `backup.json`) names every file with its sha256 and size. Files of the inbox that are in the
    archive already are left out. The file appears under its name only when it is whole. Raises `UsageError`, and
    `RestageError` where the archive lacks what its ledger names.
    """
    if not (home.archive / "ledger.jsonl").exists():
        raise UsageError(
            f"{home.root}: no archive here, so there is nothing to keep. Name the study's home with --home."
        )
    if target.exists():
        raise UsageError(f"{target} exists already; a backup never replaces another.")
    if target.resolve().is_relative_to(home.root.resolve()):
        raise UsageError(f"{target} lies in the home: the next backup would hold it. Write it elsewhere.")
    files = dict(_kept(home))
    listed = {name: {"sha256": _sum(name, path), "size": path.stat().st_size} for name, path in files.items()}
    _check_whole(home, {name: str(about["sha256"]) for name, about in listed.items()})
    about = {"format": FORMAT, "made": now(), "files": listed}
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        part.touch(mode=0o600)
        with tarfile.open(part, "w:gz", compresslevel=3) as tar:
            content = json.dumps(about, indent=1, sort_keys=True).encode()
            head = tarfile.TarInfo(LIST)
            head.size = len(content)
            tar.addfile(head, io.BytesIO(content))
            for name, path in files.items():
                tar.add(path, name, recursive=False)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return about


def restore(source: Path, home: Home, withdrawn: Path | None = None) -> dict[str, Any]:
    """Make a home from a backup; returns the backup's list. The tables follow with the next run.

    Every file is compared with the list; nothing is left in the home where one differs. `withdrawn` is another home of
    the same study (what is left of it) whose denylist is newer than the backup: those subjects stay out as well.
    Raises `UsageError` where the home is not empty, `RestageError` where the backup is damaged.
    """
    draft, is_new = home.root / ".home.restoring", not home.root.exists()
    # a disk of its own may be mounted there; what a restore left that was killed goes
    if not is_new and any(path.name not in (draft.name, "lost+found") for path in home.root.iterdir()):
        raise UsageError(f"{home.root} is not empty. Restore into a new folder, then put it in the old one's place.")
    if not source.is_file():
        raise UsageError(f"{source}: no such backup.")
    home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        about = _unpacked(source, draft)
        if withdrawn is not None:
            _merge_withdrawn(Home(withdrawn), Home(draft))
        # last the archive: without it no study is here
        for path in sorted(draft.iterdir(), key=lambda p: p.name == home.archive.name):
            path.rename(home.root / path.name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        if is_new and not any(home.root.iterdir()):
            home.root.rmdir()
    return about


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sum(name: str, path: Path) -> str:
    try:
        return sha256(path)
    except PermissionError as error:
        raise UsageError(f"{name} cannot be read. Change its permissions, then make the backup again.") from error


def _check_whole(home: Home, sums: Mapping[str, str]) -> None:
    """Refuse what would restore to another study: every file that the ledger names is there, and as it came."""
    lacking = {
        f"{d.centre}/{d.name}" for d in ledger.read(home) for f in d.files.values()
        if sums.get(f"archive/objects/{f['sha256']}") != f["sha256"]
    }  # fmt: skip
    if lacking or "archive/ledger.jsonl" not in sums:
        raise RestageError(
            f"The archive lacks files of {', '.join(sorted(lacking))}, or they are damaged: a backup of it would not "
            "be whole, and none was made. `restage doctor --deep` says more; a link inside archive/ is not followed."
        )


def _kept(home: Home) -> Iterator[tuple[str, Path]]:
    """The files of a backup by their names in the home; outboxes are kept although they lie among the reports."""
    known = ledger.by_place(home)
    # a delivery of the inbox is left out as a whole or not at all: half of one would be another delivery
    waiting = {Path("inbox", *f.parts[-2:]) for f in home.inbox.glob("*/*") if not _is_taken_in(f, known)}
    for top in sorted(home.root.iterdir()):
        real = top.resolve()  # a folder of the home may lie on another disk
        for path in [real] if real.is_file() else sorted(real.rglob("*")):
            within = Path(top.name) / path.relative_to(real)
            if path.is_symlink() or not path.is_file() or any(DRAFT.fullmatch(part) for part in within.parts):
                continue
            if top.name in MADE_AGAIN and "outbox" not in within.parts:
                continue
            if top.name == "inbox" and waiting.isdisjoint({within, *within.parents}):
                continue
            yield within.as_posix(), path


def _is_taken_in(folder: Path, known: Mapping[tuple[str, str], list[Delivery]]) -> bool:
    """Whether the ledger has this delivery of the inbox; that its bytes are in the archive says nothing, as they come
    again. What cannot be read was refused when it was taken in, and is not in the ledger."""
    found = {name: sum_ for name, path in entries(folder) if (sum_ := content_of(path))}
    came = known.get((folder.parent.name, folder.name), [])
    return any(found == {name: f["sha256"] for name, f in there.items()} for there in lying(came))


def _unpacked(source: Path, draft: Path) -> dict[str, Any]:
    damaged = RestageError(f"{source.name} is no whole backup. Take another one; nothing was restored.")
    try:
        with tarfile.open(source) as tar:
            tar.extractall(draft, filter="data")
        about = dict(json.loads((draft / LIST).read_text(encoding="utf-8")))
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise damaged from error
    if about.get("format") != FORMAT:
        raise RestageError(f"{source.name} was made by a newer version of restage. Restore it with that version.")
    (draft / LIST).unlink()
    there = {p.relative_to(draft).as_posix() for p in draft.rglob("*") if p.is_file()}
    if there != about["files"].keys() or any(sha256(draft / n) != f["sha256"] for n, f in about["files"].items()):
        raise damaged
    return about


def _merge_withdrawn(newer: Home, draft: Home) -> None:
    """Take over the denylist of another home of the same study; the first run takes out whom it adds."""
    listed, key = (newer.archive / "withdrawn.txt", newer.root / "keys" / "withdrawn.key")
    if not listed.exists() or not key.exists():
        raise UsageError(f"{newer.root}: archive/withdrawn.txt and keys/withdrawn.key are expected there.")
    own_list, own_key = draft.archive / "withdrawn.txt", draft.root / "keys" / "withdrawn.key"
    if own_key.exists() and own_key.read_text() != key.read_text():
        raise UsageError(f"{newer.root} has the key of another study, so its list says nothing about this one.")
    denylist.read(newer)
    own_key.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(key, own_key)
    known = own_list.read_text(encoding="ascii").split() if own_list.exists() else []
    both = dict.fromkeys([*known, *listed.read_text(encoding="ascii").split()])
    denylist.begin(draft)
    own_list.write_text("".join(f"{d}\n" for d in both), encoding="ascii")
