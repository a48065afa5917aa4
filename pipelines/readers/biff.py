"""What the values of an xls workbook do not tell: hidden rows, errors, dates without a day, extent.

Source: [MS-CFB], [MS-XLS].
"""

import struct
from collections.abc import Iterator, Mapping

from pipelines.readers.marks import COMPLETE, Marks, Refused, dayless, dayless_forms

ERRORS = {0x00: "#NULL!", 0x07: "#DIV/0!", 0x0F: "#VALUE!", 0x17: "#REF!", 0x1D: "#NAME?", 0x24: "#NUM!", 0x2A: "#N/A"}
BOF, EOF, DATEMODE, FILEPASS, BOUNDSHEET, FORMAT, XF, ROW, FORMULA, BOOLERR, MULRK, NUMBER, RK = (
    0x809, 0x0A, 0x22, 0x2F, 0x85, 0x41E, 0xE0, 0x208, 0x06, 0x205, 0xBD, 0x203, 0x27E,
)  # fmt: skip
CELLS = {FORMULA, BOOLERR, MULRK, NUMBER, RK, 0xFD, 0x204}
HIDDEN = 0x20
HEADER, ENTRY = 512, 128
STORAGES = {5}  # the root, whose stream holds the small ones


def marks(data: bytes) -> dict[str, Marks]:
    """Sheet -> its marks; raises `Refused` for a file with a password, another calendar or a broken structure."""
    try:
        streams = _streams(data)
        if "EncryptedPackage" in streams:
            raise Refused("a workbook without a password")
        book = streams.get("Workbook") or streams["Book"]
        unicode = "Workbook" in streams
        styles = _dayless(book, unicode)
        return {name: _sheet(book, begin, styles) for name, begin in _sheets(book, unicode).items()}
    except (struct.error, KeyError, IndexError, UnicodeDecodeError):
        raise Refused(COMPLETE) from None


def _streams(data: bytes) -> dict[str, bytes]:
    """Name -> content of each stream of the compound file."""
    shift, small_shift = struct.unpack_from("<HH", data, 30)
    first_entry, _, cutoff, first_small, _, more = struct.unpack_from("<6I", data, 48)
    if shift not in (9, 12) or small_shift != 6:
        raise Refused(COMPLETE)
    size, n_sectors = 1 << shift, len(data) >> shift

    def sector(number: int) -> bytes:
        return data[(number + 1) * size : (number + 2) * size]

    table_at = list(struct.unpack_from("<109I", data, 76))
    while more < n_sectors and len(table_at) <= n_sectors:
        *numbers, more = struct.unpack(f"<{size // 4}I", sector(more))
        table_at += numbers
    table = b"".join(sector(number) for number in table_at if number < n_sectors)
    follow = struct.unpack(f"<{len(table) // 4}I", table)
    entries = b"".join(sector(n) for n in _chain(first_entry, follow))
    small_table = b"".join(sector(n) for n in _chain(first_small, follow))
    small_follow = struct.unpack(f"<{len(small_table) // 4}I", small_table)
    small, streams = b"", {}
    for at in range(0, len(entries) - ENTRY + 1, ENTRY):
        length, kind = struct.unpack_from("<HB", entries, at + 64)
        first, n_bytes = struct.unpack_from("<II", entries, at + 116)
        name = entries[at : at + max(length - 2, 0)].decode("utf-16-le")
        if kind in STORAGES:
            small = b"".join(sector(n) for n in _chain(first, follow))
        elif kind == 2 and n_bytes < cutoff:
            streams[name] = b"".join(small[n << 6 : (n + 1) << 6] for n in _chain(first, small_follow))[:n_bytes]
        elif kind == 2:
            streams[name] = b"".join(sector(n) for n in _chain(first, follow))[:n_bytes]
    return streams


def _chain(first: int, follow: tuple[int, ...]) -> Iterator[int]:
    """Sectors of one stream, which may not be more than there are."""
    for _ in range(len(follow)):
        if first >= len(follow):
            return
        yield first
        first = follow[first]


def _records(book: bytes, at: int) -> Iterator[tuple[int, int, int]]:
    """Kind, begin and length of each record of one substream, without the charts inside."""
    depth = 0
    while depth >= 0:
        kind, length = struct.unpack_from("<HH", book, at)
        at += 4
        if at + length > len(book) or (not depth and kind != BOF):
            raise Refused(COMPLETE)
        depth += (kind == BOF) - (kind == EOF)
        if depth <= 1:
            yield kind, at, length
        if depth == 0:
            return
        at += length


def _sheets(book: bytes, unicode: bool) -> dict[str, int]:
    """Sheet -> where it begins."""
    found = {}
    for kind, at, _ in _records(book, 0):
        if kind == FILEPASS:
            raise Refused("a workbook without a password")
        if kind == DATEMODE and struct.unpack_from("<H", book, at)[0]:
            raise Refused("a workbook that counts days from 1900")
        if kind == BOUNDSHEET:
            begin, _, sort, n_chars = struct.unpack_from("<IBBB", book, at)
            wide, begin_name = unicode and book[at + 7] & 1, at + 7 + unicode
            if sort == 0:
                found[_text(book, begin_name, n_chars, wide, unicode)] = begin
    return found


def _text(book: bytes, at: int, n_chars: int, wide: int, unicode: bool) -> str:
    return book[at : at + (n_chars << wide)].decode("utf-16-le" if wide else "latin-1" if unicode else "cp1252")


def _dayless(book: bytes, unicode: bool) -> dict[int, str]:
    """The styles of cells whose dates show no day, with how these are written."""
    codes, styles = {}, []
    for kind, at, _ in _records(book, 0):
        if kind == FORMAT:
            number, n_chars = struct.unpack_from("<HH" if unicode else "<HB", book, at)
            wide = book[at + 4] & 1 if unicode else 0
            codes[str(number)] = _text(book, at + (5 if unicode else 3), n_chars, wide, unicode)
        elif kind == XF:
            styles.append(str(struct.unpack_from("<2xH", book, at)[0]))
    return dayless_forms(codes, styles)


def _numbers(book: bytes, kind: int, at: int, last: int) -> Iterator[tuple[int, int, float]]:
    """Column, style and value of each number in a record of cells."""
    column, style = struct.unpack_from("<2xHH", book, at)
    if kind == NUMBER or (kind == FORMULA and book[at + 12 : at + 14] != b"\xff\xff"):
        yield column, style, struct.unpack_from("<d", book, at + 6)[0]
    for i in range(last - column + 1 if kind in (RK, MULRK) else 0):
        style, whole = struct.unpack_from("<Hi", book, at + 4 + 6 * i)
        number = whole >> 2 if whole & 2 else struct.unpack("<d", struct.pack("<Q", (whole & 0xFFFFFFFC) << 32))[0]
        yield column + i, style, number / 100 if whole & 1 else number


def _sheet(book: bytes, begin: int, styles: Mapping[int, str]) -> Marks:
    marks = Marks()
    for kind, at, length in _records(book, begin):
        if kind == ROW:
            (row, flags) = struct.unpack_from("<H10xI", book, at)
            if flags & HIDDEN:
                marks.hidden.add(row + 1)
        elif kind in CELLS:
            row, column = struct.unpack_from("<HH", book, at)
            last = struct.unpack_from("<H", book, at + length - 2)[0] if kind == MULRK else column
            marks.width, marks.last_row = max(marks.width, last + 1), max(marks.last_row, row + 1)
            error = None
            if kind == BOOLERR and book[at + 7]:
                error = book[at + 6]
            elif kind == FORMULA and book[at + 12 : at + 14] == b"\xff\xff" and book[at + 6] == 2:
                error = book[at + 8]
            if error is not None:
                marks.texts.setdefault(row + 1, {})[column + 1] = ERRORS.get(error, "#?")
            for where, style, number in _numbers(book, kind, at, last) if styles else ():
                if style in styles and (text := dayless(number, styles[style])):
                    marks.texts.setdefault(row + 1, {})[where + 1] = text
    return marks
