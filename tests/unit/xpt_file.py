"""Writes a small SAS transport file (version 5), as a test needs one; the format is SAS's TS-140."""

from collections.abc import Mapping, Sequence
from pathlib import Path

STAMP = "01JAN20:00:00:00"


def write_xpt(path: Path, columns: Mapping[str, Sequence[str | float | None]]) -> None:
    """Text columns in their own width, numbers as doubles, None as a missing number."""
    members = []
    position = 0
    widths = []
    for number, (name, values) in enumerate(columns.items(), 1):
        is_text = any(isinstance(v, str) for v in values)
        width = max((len(str(v)) for v in values), default=1) if is_text else 8
        widths.append(width if is_text else 0)
        head = [2 if is_text else 1, 0, width, number]
        record = b"".join(n.to_bytes(2, "big") for n in head) + name.ljust(8).encode() + b" " * 40
        record += b" " * 8 + b"\0" * 8 + b" " * 8 + b"\0" * 4 + position.to_bytes(4, "big")
        members.append(record.ljust(140, b"\0"))
        position += width
    names = b"".join(members)
    sas = b"SAS     SAS     SASLIB  9.4     LINUX   " + b" " * 24 + STAMP.encode()
    data = b"".join(
        str(v or "").ljust(width).encode() if width else ibm(v)
        for row in zip(*columns.values(), strict=True)
        for v, width in zip(row, widths, strict=True)
    )
    parts = [
        header("LIBRARY", "0" * 30), sas, STAMP.encode(),
        header("MEMBER", "000000000000000001600000000140"), header("DSCRPTR", "0" * 30),
        b"SAS     ADTTE   SASDATA 9.4     LINUX   " + b" " * 24 + STAMP.encode(), STAMP.encode() + b" " * 64,
        header("NAMESTR", f"000000{len(columns):04d}" + "0" * 20), names, header("OBS", "0" * 30), data,
    ]  # fmt: skip
    path.write_bytes(b"".join(part + b" " * (-len(part) % 80) for part in parts))


def header(kind: str, numbers: str) -> bytes:
    return f"HEADER RECORD*******{kind:<8}HEADER RECORD!!!!!!!{numbers}  ".encode()


def ibm(value: str | float | None) -> bytes:
    """A number as IBM's eight-byte float; a missing one is a point."""
    if value is None:
        return b"." + b"\0" * 7
    number, exponent = abs(float(value)), 64
    while number >= 1:
        number, exponent = number / 16, exponent + 1
    while 0 < number < 1 / 16:
        number, exponent = number * 16, exponent - 1
    sign = 128 if float(value) < 0 else 0
    return bytes([sign | exponent if number else 0]) + int(number * 2**56).to_bytes(7, "big")
