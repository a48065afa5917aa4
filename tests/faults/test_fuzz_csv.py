"""Broken and hostile text files: a refusal that names the place, or the rows that Python's own reader finds too."""

import csv
import io
import re
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.errors import UnreadableFile
from pipelines.readers.csv import read_file

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LONG = settings(QUICK, max_examples=2000)
MB = 1 << 20
# no blank before a quote: DuckDB opens a cell there, Python reads the quote as text
ALPHABET = st.sampled_from(
    ["a", "1", "é", ",", ";", '"', '""', "\n", "\r\n", "\r", "\t", "'", "\u2028", "=", "\\", "-"]
)
LONE = "\ue000"
ENCODINGS = ("utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-32")


def outcome(path: Path, content: bytes, **spec: object) -> list[tuple[str | None, ...]] | str:
    """The cells of all rows, or what the first problem says; any other exception is a fault of ours."""
    path.write_bytes(content)
    try:
        table = read_file(path, spec)
    except UnreadableFile as error:
        assert all(p.expected and p.action for p in error.problems)
        return f"{error.problems[0].place}: {error.problems[0].expected}"
    return [tuple(row.values())[1:] for row in table.to_pylist()]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xef\xbb\xbfid,b\n1,2\n", "line 1: no byte order mark before the first column"),
        ("id,b\n1,2\n".encode("utf-16"), "line 1: text in utf-8"),
        ("id,b\n1,2\n".encode("utf-32"), "line 1: text in utf-8"),
        ("id,b\n1,2\n".encode("utf-16-le"), "line 1: text without NUL bytes"),
        (b"id,b\n1,2\n3,\0\n", "line 3: text without NUL bytes"),
        (b"id,b\n1,2\n3", "line 3: 2 columns"),
        (b"id,b\n1,2\n3\n4,5\n", "line 3: 2 columns"),
        (b'id,b\n1,"a "b" c"\n2,3\n', "line 2: quotes that pair"),
        (b'id,b\n1,"abc\n2,3\n4,5\n', "line 2: quotes that pair"),
        (b"id,b\r1,2\r3,4\r", "line 1: lines that end as in Windows or Unix"),
        (b"id,b\r\n1,2\n3,4\r\n5,6\r7,8\n", ": records whose quotes and line ends follow the CSV format"),
        (b"", "lines 1-1: a header"),
        (b"\n", "lines 1-1: a header"),
        (b"\xef\xbb\xbf", "line 1: no byte order mark before the first column"),
        (b"PK\x03\x04\x14\x00\x00\x00\x08\x00\xff\xfe", "line 1: text in utf-8"),
        (b"id,b\n1,2\n\x1a", "line 3: 2 columns"),
    ],
)
def test_a_broken_file_is_refused_with_its_place(tmp_path: Path, content: bytes, said: str) -> None:
    assert outcome(tmp_path / "f", content) == said


def test_a_wide_encoding_without_its_mark_is_refused(tmp_path: Path) -> None:
    content = "id,b\n1,2\n".encode("utf-16-le")
    assert outcome(tmp_path / "f", content, encoding="utf-16") == "line 1: text in utf-16"


@pytest.mark.parametrize(
    ("content", "spec", "rows"),
    [
        (b"x", {}, []),
        (b"id,b\n", {}, []),
        (b"\xef\xbb\xbfid,b\r\n1,2\n3,4\r\n", {"encoding": "utf-8-sig"}, [("1", "2"), ("3", "4")]),
        (b'id,b\r\n1,"a\rb"\n', {}, [("1", "a\rb")]),
        (b"id;b\n1;2\n", {}, [("1;2",)]),  # the key column is then missing, which rejects the delivery
        (b"id,b\n1,2\nid,b\n", {}, [("1", "2"), ("id", "b")]),
        ("id,b\n1,a\u2028b\n".encode(), {}, [("1", "a\u2028b")]),
    ],
)
def test_what_is_odd_but_whole_is_read(
    tmp_path: Path, content: bytes, spec: dict[str, object], rows: list[tuple[str, ...]]
) -> None:
    assert outcome(tmp_path / "f", content, **spec) == rows


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: b'id,b\n1,"abc\n' + b"2,some text\n" * (50 * MB // 12), "line 2: quotes that pair"),
        (lambda: b"c," * 10_000_000 + b"\n1\n", "line 1: lines shorter than 1024 KiB"),
        (lambda: b",".join(b"c%d" % n for n in range(5001)) + b"\n", "line 1: at most 5000 columns"),
        (lambda: b"x" * (100 * MB), "line 1: lines shorter than 1024 KiB"),
        (lambda: b"id,b\n1," + b"x" * (100 * MB) + b"\n2,3\n", "line 2: lines shorter than 1024 KiB"),
        (lambda: b"id,b\n" + b"x," * (25 * MB) + b"\n2,3\n", "line 2: lines shorter than 1024 KiB"),
        (lambda: b'id,b\n1,"' + b"x\n" * 2 * MB + b'"\n2,3\n', "line 2: quotes that pair"),
        (lambda: b'id,b\n1,"' + b"x\n" * 150_000 + b'"\n2,3\n', ": cells shorter than 128 KiB"),
        (lambda: b"id,b,c\n1,2,3\n" + b"x\n" * 100_000, "line 3: 3 columns"),
    ],
    ids=[
        "open quote", "10M columns", "5001 columns", "one line", "one cell", "25M cells", "4 MB in quotes",
        "300 KB in quotes", "footers",
    ],
)  # fmt: skip
def test_a_huge_broken_file_takes_little_memory(tmp_path: Path, content: Callable[[], bytes], said: str) -> None:
    given = content()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert outcome(tmp_path / "f", given) == said
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600 * 1024


def by_python(
    content: bytes, encoding: str, cell_of: Callable[[str], str] = str
) -> list[tuple[str | None, ...]] | None:
    """The rows below the header as Python reads them; None where it refuses them or their lengths differ.

    A carriage return alone ends a line for Python; here it is a text, so another character stands in for it. At either
    end of a line DuckDB may leave it out, which is not compared.
    """
    try:
        text = content.decode(encoding).replace("\r\n", "\n").replace("\r", LONE)
        header, *records = csv.reader(io.StringIO(text, newline=""), strict=True)
    except (UnicodeDecodeError, csv.Error, ValueError):
        return None
    records = [r for r in records if r or len(header) == 1]
    if re.search(f"(^|\n){LONE}|{LONE}(\n|$)", text) or any(len(r) != len(header) for r in records if r):
        return None
    cells = [[cell_of(cell).replace(LONE, "\r") or None for cell in r or [""]] for r in records]
    # a column without name and content is none
    kept = [n for n, name in enumerate(header) if name or any(r[n] for r in cells)]
    return [tuple(r[n] for n in kept) for r in cells]


def after_spaces(cell: str) -> str:
    """Quotes after nothing but spaces are part of a text for Python, and for us the quotes around it."""
    bare = cell.lstrip(" ")
    try:
        return next(csv.reader([bare], strict=True))[0] if bare != cell and bare.startswith('"') else cell
    except csv.Error:
        return cell


def agree(path: Path, content: bytes, encoding: str = "utf-8") -> None:
    mine, theirs = outcome(path, content, encoding=encoding), by_python(content, encoding)
    if theirs is not None and not isinstance(mine, str):
        assert mine == theirs or mine == by_python(content, encoding, after_spaces)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A whole file with a few places cut out, doubled or overwritten."""
    rows = draw(st.lists(st.lists(st.text('ab1é,"\n ', max_size=5), min_size=3, max_size=3), max_size=6))
    made = io.StringIO()
    csv.writer(made, lineterminator=draw(st.sampled_from(["\n", "\r\n"]))).writerows([["id", "b", "c"], *rows])
    content = bytearray(made.getvalue().encode())
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(content)))
        content[at : at + draw(st.integers(0, 4))] = draw(
            st.sampled_from([b"", b'"', b",", b"\n", b"\r", b"\0", b"\xff"])
        )
    return bytes(content)


texts = st.lists(ALPHABET, max_size=40).map(lambda parts: "id,b\n" + "".join(parts))


@QUICK
@given(content=st.binary(max_size=200), encoding=st.sampled_from(ENCODINGS))
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes, encoding: str) -> None:
    agree(tmp_path / "f", content, encoding)


@QUICK
@given(text=texts, encoding=st.sampled_from(ENCODINGS))
def test_any_text_reads_as_python_reads_it(tmp_path: Path, text: str, encoding: str) -> None:
    agree(tmp_path / "f", text.encode(encoding, "ignore"), encoding)


@QUICK
@given(content=damaged())
@example(content=b'id,b\n """",\n')
@example(content=b'id,b\n "x", y\n')
def test_a_damaged_file_reads_as_python_reads_it(tmp_path: Path, content: bytes) -> None:
    agree(tmp_path / "f", content)


@pytest.mark.slow
@LONG
@given(content=st.one_of(st.binary(max_size=2000), texts.map(str.encode), damaged()))
def test_sweep(tmp_path: Path, content: bytes) -> None:
    agree(tmp_path / "f", content)
