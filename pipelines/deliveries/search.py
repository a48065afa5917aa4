"""Whether a delivery that cannot be read names a subject: its bytes are searched, whatever they are meant to be."""

import mmap
import re
import tempfile
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

from pipelines.deliveries import denylist, unpack
from pipelines.deliveries.ledger import Delivery, object_path
from pipelines.staging import INVISIBLE
from pipelines.warehouse import Home

ENCODINGS = ("utf-8", "cp1252", "utf-16-le", "utf-16-be")
TELLING = 5  # characters: a shorter number says nothing outside its column
# a letter or digit beside it makes it another word, in encodings of one byte and of two
BEFORE, AFTER = rb"(?<![0-9A-Za-z])(?<![0-9A-Za-z]\x00)", rb"(?!\x00?[0-9A-Za-z])"
# what may be a code or an id: a word with its parts, and the whole of a cell
TOKEN = re.compile(rb"[0-9A-Za-z](?:\x00?[0-9A-Za-z._/-]){4,}")
CELL = re.compile(rb"[^\r\n\t,;|\"'<>=]{5,300}")
LONGEST, KEPT, NESTED = 64, 200_000, 3


def names(home: Home, delivery: Delivery, words: Collection[str]) -> bool | None:
    """Whether any file of a delivery holds one of these words; None where none does and a file cannot be opened.

    Archives and workbooks are searched member by member. Words that are too short to tell anything are left out.
    """
    forms = {w.encode(e, "ignore") for w in words if len(w) >= TELLING for e in ENCODINGS}
    pattern = re.compile(BEFORE + b"(" + b"|".join(map(re.escape, sorted(forms))) + b")" + AFTER, re.IGNORECASE)
    if not forms:
        return False
    closed = False
    for _, path in _files(home, delivery):
        if path is None:
            closed = True
        elif _holds(path, pattern):
            return True
    return None if closed else False


def names_withdrawn(home: Home, delivery: Delivery) -> bool:
    """Whether a file of a delivery that can be opened, or the name of one, holds the study code or, of this centre, an
    own id of somebody who has withdrawn: of them there are only digests, so that each word is held against these."""
    if not denylist.read(home):
        return False
    tells = denylist.teller(home, delivery.centre)
    for name, path in _files(home, delivery):
        if any(map(tells, _parts(name))) or (path and any(map(tells, _words(path)))):
            return True
    return False


def _words(path: Path) -> Iterator[str]:
    """The words of a file that may be a code or an id, each once in a while."""
    if path.stat().st_size == 0:
        return
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for pattern, parts in ((TOKEN, _parts), (CELL, _whole)):
            told: set[bytes] = set()
            for found in pattern.finditer(content):
                if (token := found[0].replace(b"\0", b"")) not in told:
                    if len(told) >= KEPT:
                        told.clear()  # bounds the memory
                    told.add(token)
                    yield from parts(_read(token))


def _read(token: bytes) -> str:
    try:
        return token.decode("utf-8")
    except UnicodeDecodeError:
        return token.decode("cp1252", "replace")


def _whole(text: str) -> Iterator[str]:
    text = text.strip(INVISIBLE)
    if TELLING <= len(text) <= LONGEST:
        yield text


def _parts(text: str) -> Iterator[str]:
    """Words of letters and digits, alone and with those that a sign joins to them."""
    parts = re.split(r"([^0-9A-Za-z]+)", text)
    for start in range(0, len(parts), 2):
        word = ""
        for end in range(start, len(parts), 2):
            word += parts[end] if end == start else parts[end - 1] + parts[end]
            if len(word) > LONGEST:
                break
            if len(word) >= TELLING:
                yield word


def _files(home: Home, delivery: Delivery) -> Iterator[tuple[str, Path | None]]:
    for name, about in delivery.files.items():
        with tempfile.TemporaryDirectory(prefix=".erasing-", dir=home.archive) as scratch:
            yield from _opened(name, object_path(home, str(about["sha256"])), Path(scratch))


def _opened(name: str, path: Path, scratch: Path, depth: int = 0) -> Iterator[tuple[str, Path | None]]:
    """A file, or the members of an archive or workbook, with its name; no path for what cannot be opened."""
    if not zipfile.is_zipfile(path):
        yield name, None if Path(name).suffix.lower() in unpack.ARCHIVES else path
        return
    for number, member in enumerate(unpack.each_member(path, scratch / "members") if depth < NESTED else [None]):
        if member is None:
            yield name, None
        else:
            yield from _opened(*member, scratch / str(number), depth + 1)


def _holds(path: Path, pattern: re.Pattern[bytes]) -> bool:
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return pattern.search(content) is not None
