"""Text files brought to UTF-8 with line feeds, strictly: a byte that is not of the declared encoding is a problem."""

import codecs
from pathlib import Path

from pipelines.errors import Problem, UnreadableFile

CHUNK = 1 << 20  # bytes; no export writes a line that fills one, and DuckDB's memory grows with the cells of a line
LINE_ENDS = "Check the line ends (a carriage return alone is none) and export the file again."
WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32")  # a character of ASCII takes more than a byte


def decode(path: Path, encoding: str, target: Path | None) -> int | None:
    """The number of lines of a file; None where it must be written to `target` as UTF-8 with `\\n` line ends first."""
    keeps_ascii = encoding not in WIDE
    if target is None and encoding not in ("utf-8", "utf-8-sig"):
        return None
    decoder, lines, held, returns = codecs.getincrementaldecoder(encoding)(), 0, b"", False
    other = None if encoding in (*WIDE, "utf-8", "utf-8-sig") else _Utf8(encoding)
    with path.open("rb") as source, (target or Path("/dev/null")).open("wb") as copy:
        last = False
        while not last:
            data = source.read(CHUNK)
            last, is_full = not data, len(data) == CHUNK
            if other:
                other.look(data, last, lines)
            if last or not (keeps_ascii and data.isascii() and not decoder.getstate()[0]):
                data = _utf8(decoder, data, last, encoding, lines)
            if b"\0" in data:
                line = lines + data.count(b"\n", 0, data.index(b"\0")) + 1
                raise wrong(f"line {line}", "text without NUL bytes", "The file is damaged: export it again.")
            if target is None and b"\r" in data:
                return None
            if is_full and b"\n" not in data:
                raise wrong(f"line {lines + 1}", f"lines shorter than {CHUNK >> 10} KiB", LINE_ENDS)
            returns |= b"\r" in data
            lines += data.count(b"\n")
            if target is not None:
                # a line end may lie across two chunks
                data, held = held + data, b""
                if data.endswith(b"\r") and not last:
                    data, held = data[:-1], b"\r"
                copy.write(data.replace(b"\r\n", b"\n"))
    if returns and not lines:
        raise wrong("line 1", "lines that end as in Windows or Unix", LINE_ENDS)
    return lines


def _utf8(decoder: codecs.IncrementalDecoder, data: bytes, last: bool, encoding: str, lines: int) -> bytes:
    try:
        return decoder.decode(data, last).encode("utf-8", "surrogatepass")
    except UnicodeError as error:  # a wide encoding without its mark has no place
        line = lines + data.count(b"\n", 0, getattr(error, "start", 0)) + 1
    action = "Export it again in this encoding, or correct `encoding` in the centre's mapping."
    raise wrong(f"line {line}", f"text in {encoding}", action)


class _Utf8:
    """Looks at the bytes of a one-byte encoding, which never fails: what is UTF-8 throughout was meant as such."""

    def __init__(self, declared: str) -> None:
        self.declared = declared
        self.decoder: codecs.IncrementalDecoder | None = codecs.getincrementaldecoder("utf-8")()
        self.line = 0

    def look(self, data: bytes, last: bool, lines: int) -> None:
        """Raises `UnreadableFile` at the end of a file with characters of several bytes and none that breaks them."""
        if self.decoder is None:
            return
        try:
            if not (data.isascii() and not self.decoder.getstate()[0] and not last):
                self.decoder.decode(data, last)
                if not self.line and not data.isascii():
                    self.line = lines + data.count(b"\n", 0, next(i for i, b in enumerate(data) if b > 127)) + 1
        except UnicodeDecodeError:
            self.decoder = None
            return
        if last and self.line:
            action = "It is UTF-8: export it in the agreed encoding, or correct `encoding` in the centre's mapping."
            raise wrong(f"line {self.line}", f"text in {self.declared}", action)


def wrong(place: str, expected: str, action: str) -> UnreadableFile:
    return UnreadableFile([Problem("", place, expected, action)])
