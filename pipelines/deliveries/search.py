"""Whether a delivery that cannot be read names a subject: its bytes are searched, whatever they are meant to be."""

import mmap
import re
import tempfile
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

from pipelines.deliveries import denylist, unpack
from pipelines.deliveries.ledger import Delivery, object_path
from pipelines.warehouse import Home

ENCODINGS = ("utf-8", "cp1252", "utf-16-le", "utf-16-be")
TELLING = 5  # characters: a shorter number says nothing outside its column
# a letter or digit beside it makes it another word, in encodings of one byte and of two
TOKEN = re.compile(rb"[0-9A-Za-z](?:\x00?[0-9A-Za-z._/-])+")
LONGEST = 64
BEFORE, AFTER = rb"(?<![0-9A-Za-z])(?<![0-9A-Za-z]\x00)", rb"(?!\x00?[0-9A-Za-z])"


def names(home: Home, delivery: Delivery, words: Collection[str]) -> bool | None:
    """Whether any file of a delivery holds one of these words; None where none does and a file cannot be opened.

    Archives and workbooks are searched member by member. Words that are too short to tell anything are left out.
    """
    forms = {w.encode(e, "ignore") for w in words if len(w) >= TELLING for e in ENCODINGS}
    pattern = re.compile(BEFORE + b"(" + b"|".join(map(re.escape, sorted(forms))) + b")" + AFTER, re.IGNORECASE)
    if not forms:
        return False
    closed = False
    for path in _files(home, delivery):
        if path is None:
            closed = True
        elif _holds(path, pattern):
            return True
    return None if closed else False


def names_withdrawn(home: Home, delivery: Delivery) -> bool:
    """Whether any file of a delivery that can be opened holds the study code or, of this centre, an own id of somebody
    who has withdrawn: of them there are only digests, so that each word is held against these."""
    if not denylist.read(home):
        return False
    words: set[str] = set()
    for path in filter(None, _files(home, delivery)):
        words |= _words(path)
    return bool(denylist.among(home, delivery.centre, words) or denylist.among(home, denylist.CODE, words))


def _words(path: Path) -> set[str]:
    """What may be a code or an id: words of letters and digits, alone and with those that a sign of names joins."""
    tokens: set[bytes] = set()
    if path.stat().st_size:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            tokens = {found[0].replace(b"\0", b"") for found in TOKEN.finditer(content)}
    found = set()
    for token in tokens:
        parts = re.split(r"([._/-]+)", token.decode("ascii"))
        for start in range(0, len(parts), 2):
            for end in range(start + 1, len(parts) + 1, 2):
                if TELLING <= len(word := "".join(parts[start:end])) <= LONGEST:
                    found.add(word.upper())
    return found


def _files(home: Home, delivery: Delivery) -> Iterator[Path | None]:
    for name, about in delivery.files.items():
        with tempfile.TemporaryDirectory(prefix=".erasing-", dir=home.archive) as scratch:
            yield from _opened(name, object_path(home, str(about["sha256"])), Path(scratch))


def _opened(name: str, path: Path, scratch: Path) -> Iterator[Path | None]:
    """A file, or the members of an archive or workbook; None for what cannot be opened."""
    if not zipfile.is_zipfile(path):
        yield None if Path(name).suffix.lower() in unpack.ARCHIVES else path
        return
    members, problems = unpack.unpack(name, path, scratch / "members")
    if problems:
        yield None
    for number, (member, where) in enumerate(members):
        yield from _opened(member, where, scratch / str(number))


def _holds(path: Path, pattern: re.Pattern[bytes]) -> bool:
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return pattern.search(content) is not None
