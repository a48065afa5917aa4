"""What lies in the inbox, and what of it is whole: looked at without taking anything in."""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipelines.deliveries.manifest import NAME, compare, read_manifest
from pipelines.warehouse import Home


class StillGrowing(Exception):
    """Somebody is at work in a delivery; a later run takes it in."""


def waiting(home: Home) -> Iterator[tuple[str, Path]]:
    """Centre and path of everything in the inbox; names that begin with a dot are being written by somebody.

    A centre whose folder may not be read keeps no other one waiting; `restage doctor` tells of it.
    """
    for centre in sorted(home.inbox.glob("[!.]*")):
        if centre.is_dir() and not centre.is_symlink() and os.access(centre, os.R_OK | os.X_OK):
            yield from ((centre.name, path) for path in sorted(centre.glob("[!.]*")))


def entries(folder: Path) -> list[tuple[str, Path]]:
    """Every path of a delivery that is no folder, or one that may not be read, with its name inside the delivery."""
    # a symlink to a folder is not followed: it is an entry, and refused
    return [(name, path) for name, path, within in _walk(folder) if not within]


def _walk(folder: Path) -> list[tuple[str, Path, bool]]:
    """A delivery and every path in it with its name there, and whether it is a folder that was looked into."""
    found: list[tuple[str, Path, bool]] = []
    folders = [("", folder)] if folder.is_dir() and not folder.is_symlink() else []
    while folders:
        name, here = folders.pop()
        readable = os.access(here, os.R_OK | os.X_OK)
        found.append((name or folder.name, here, readable))
        for each in os.scandir(here) if readable else ():
            within = f"{name}/{each.name}" if name else each.name
            if each.is_dir(follow_symlinks=False):
                folders.append((within, Path(each.path)))
            else:
                found.append((within, Path(each.path), False))
    return sorted(found, key=lambda entry: entry[1]) or [(folder.name, folder, False)]


def signature_of(folder: Path) -> str:
    """Changes when a name, a size or a time of writing changes; no file is opened. Empty while somebody is at work."""
    lines = []
    try:
        for name, path in entries(folder):
            status = path.lstat()
            lines.append(f"{name}\t{status.st_size}\t{status.st_mtime_ns}\t{status.st_ctime_ns}")
    except FileNotFoundError:
        return ""
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def is_whole(folder: Path, still_seconds: float, now: float | None = None) -> bool:
    """Whether a delivery can be taken in: nothing in it has changed for so long, or its manifest names every file and
    each has the sha256 that it names.

    The time of the last change is the file system's own (ctime): copying tools set the time of writing to what it was.
    One that is as far ahead is of a clock that has been set back since.
    """
    now = time.time() if now is None else now
    try:
        found = _walk(folder)
        if all(abs(now - path.lstat().st_ctime) >= still_seconds for _, path, _ in found):
            return True
    except FileNotFoundError:
        return False  # somebody is at work in it
    manifest, problems = read_manifest(folder / NAME)
    named = {name: path for name, path, within in found if not within}
    if problems or manifest.files.keys() != named.keys() - {NAME} or not manifest.files:
        return False
    return not compare(manifest, {name: content_of(path) for name, path in named.items()})


def files_of(folder: Path) -> dict[str, str] | None:
    """The sha256 of each file of a delivery; None while somebody is at work in it."""
    try:
        return {name: content_of(path) for name, path in entries(folder)}
    except FileNotFoundError:
        return None


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
