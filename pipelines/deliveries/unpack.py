"""Archives inside a delivery, read as folders: `a.zip` with `dir/x.dcm` becomes the source file `a.zip!dir/x.dcm`."""

import errno
import lzma
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pipelines.errors import Problem

MAX_MEMBERS = 200_000
MAX_BYTES = 20 << 30
# text and DICOM shrink ten- to fiftyfold; above this a small archive that fills a disk is more likely than an export
MAX_RATIO, RATIO_FROM_BYTES = 200, 50 << 20
ARCHIVES = {".zip", ".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst"}
LONGEST_NAME = 1000  # characters
CHUNK = 1 << 20
BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, OSError, RuntimeError,
    ValueError, IndexError, OverflowError,
)  # fmt: skip


def is_archive(name: str) -> bool:
    """Told by the name alone: workbooks are zip files too."""
    return PurePosixPath(name).suffix.lower() == ".zip"


def unpack(name: str, path: Path, folder: Path) -> tuple[list[tuple[str, Path]], list[Problem]]:
    """Extract the members of one zip into `folder`, named by number; returns (source file, path) and problems.

    Nothing is written when there is a problem with the list of members: too many, too large, shrunk too much, nested
    archives, links, encrypted ones, or names that lead out of the delivery.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            problems = _check(name, members, path.stat().st_size)
            if problems:
                return [], problems
            folder.mkdir(parents=True)
            return [(f"{name}!{m.filename}", _extract(archive, m, folder / str(i))) for i, m in enumerate(members)], []
    except BROKEN as error:
        _unless_of_the_disk(error)
        return [], [Problem(name, "", "a complete zip archive", "Make the archive again and send it again.")]


def each_member(path: Path, folder: Path) -> Iterator[tuple[str, Path] | None]:
    """Whatever can be extracted of a zip, whatever it is called: name and path; None for what cannot."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
            if _too_much(members, path.stat().st_size) or len(members) > MAX_MEMBERS:
                yield None
                return
            folder.mkdir(parents=True)
            for i, member in enumerate(members):
                yield None if member.flag_bits & 1 else (member.filename, _extract(archive, member, folder / str(i)))
    except BROKEN as error:
        _unless_of_the_disk(error)
        yield None


def _unless_of_the_disk(error: Exception) -> None:
    """Raise what is the disk's fault; a broken stream has no number, an impossible offset is an invalid argument."""
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        raise error


def _too_much(members: list[zipfile.ZipInfo], packed: int) -> bool:
    total = sum(m.file_size for m in members)
    return total > MAX_BYTES or (total > RATIO_FROM_BYTES and total > MAX_RATIO * packed)


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> Path:
    # zipfile reads no more than the declared size, which was checked
    with archive.open(member) as source, target.open("wb") as copy:
        while chunk := source.read(CHUNK):
            copy.write(chunk)
    return target


def _check(name: str, members: list[zipfile.ZipInfo], packed: int) -> list[Problem]:
    problems = []
    if len(members) > MAX_MEMBERS:
        problems.append(Problem(name, "", f"at most {MAX_MEMBERS:,} files", "Send several archives."))
    if _too_much(members, packed):
        expected = f"at most {MAX_BYTES >> 30} GiB unpacked and {MAX_RATIO} times the archive's size"
        problems.append(Problem(name, "", expected, "Send the files unpacked."))
    if len({str(PurePosixPath(m.filename)).casefold() for m in members}) < len(members):
        problems.append(
            Problem(name, "", "each file name once (case does not count)", "Make the archive again and send it again.")
        )
    for number, member in enumerate(members, start=1):
        wanted = _unsafe(member)
        if wanted:
            problems.append(Problem(name, f"member {number}", wanted, "Make the archive again without it."))
            if len(problems) == 20:
                break
    return problems


def _unsafe(member: zipfile.ZipInfo) -> str | None:
    path, name = PurePosixPath(member.filename), member.orig_filename
    if not path.name or path.is_absolute() or ".." in path.parts or "\\" in name or name[1:2] == ":":
        return "a name that stays inside the delivery"
    if any(unicodedata.category(c)[0] in "CZ" and c != " " for c in name) or len(name) > LONGEST_NAME:
        return f"a name of at most {LONGEST_NAME} characters, none of them invisible"
    if path.suffix.lower() in ARCHIVES:
        return "no archive inside an archive"
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        return "a plain file, no link or device"
    return "a file without a password" if member.flag_bits & 1 else None
