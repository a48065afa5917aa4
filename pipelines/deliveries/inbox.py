"""What lies in the inbox, and what of it is whole: looked at without taking anything in."""

import hashlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipelines.deliveries.manifest import NAME, compare, read_manifest
from pipelines.warehouse import Home


def waiting(home: Home) -> Iterator[tuple[str, Path]]:
    """Centre and path of everything in the inbox; names that begin with a dot are being written by somebody."""
    for centre in sorted(home.inbox.glob("[!.]*")):
        if centre.is_dir() and not centre.is_symlink():
            yield from ((centre.name, path) for path in sorted(centre.glob("[!.]*")))


def entries(folder: Path) -> list[tuple[str, Path]]:
    """Every path of a delivery that is no folder, with its name inside the delivery."""
    if folder.is_symlink() or not folder.is_dir():
        return [(folder.name, folder)]
    # a symlink to a folder is not followed: it is an entry, and refused
    return [
        (p.relative_to(folder).as_posix(), p) for p in sorted(folder.rglob("*")) if p.is_symlink() or not p.is_dir()
    ]


def signature_of(folder: Path) -> str:
    """Changes when a name, a size or a time of writing changes; no file is opened."""
    lines = []
    for name, path in entries(folder):
        status = path.lstat()
        lines.append(f"{name}\t{status.st_size}\t{status.st_mtime_ns}\t{status.st_ctime_ns}")
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def is_whole(folder: Path, still_seconds: float, now: float | None = None) -> bool:
    """Whether a delivery can be taken in: nothing in it has changed for so long, or its manifest names every file and
    each has the sha256 that it names.

    The time of the last change is the file system's own (ctime): copying tools set the time of writing to what it was.
    """
    found = entries(folder)
    folders = [p for p in folder.rglob("*") if p.is_dir() and not p.is_symlink()] if folder.is_dir() else []
    try:
        changed = max(path.lstat().st_ctime for path in [folder, *folders, *(path for _, path in found)])
    except FileNotFoundError:
        return False  # somebody is at work in it
    if (time.time() if now is None else now) - changed >= still_seconds:
        return True
    manifest, problems = read_manifest(folder / NAME)
    named = dict(found)
    if problems or manifest.files.keys() != named.keys() - {NAME} or not manifest.files:
        return False
    return not compare(manifest, {name: content_of(path) for name, path in found})


def content_of(path: Path) -> str:
    """The sha256 of a plain file; what cannot be read has none, and is refused when it is taken in."""
    try:
        return sha256_of(path) if path.is_file() and not path.is_symlink() else ""
    except OSError:
        return ""


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_hash_of(centre: str, name: str, files: Mapping[str, str]) -> str:
    """One sha256 over centre, name and content (file -> sha256) of a delivery: no content is asked for twice."""
    lines = [centre, name, *(f"{file}\t{sha256}" for file, sha256 in sorted(files.items()))]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
