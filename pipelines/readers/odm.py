"""CDISC ODM-XML: one row per item group, read in one pass with bounded memory; a document type is refused."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.parsers import expat

from pipelines.readers import odm_spill
from pipelines.readers.odm_spill import Spill
from pipelines.readers.odm_walk import KEYS, MOST_BYTES, Walk, refusal

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 1 << 20
MOST_NAMES = 100_000  # different names of elements and attributes
HEAD = 1 << 20  # bytes within which the root must begin


def batches(path: Path, spec: Mapping[str, Any]) -> "Iterator[pa.Table]":
    """One row per ItemGroupData with one of the OIDs in `spec.item_group`: its keys, then one column per item.

    `source_row` is the number of the ItemGroupData in document order over the whole file. TransactionType is Remove
    where any level says so, else that of the innermost level that states one. A subject, event or form that is removed
    is a row of every item group, with the keys down to that level; its `source_row` is `SubjectData!3`. `IsNull` lists
    the items that are stated to be blank. In ODM 2.0 the outermost of nested item groups is the form. Items that the
    file's metadata lists are columns even where no row fills them. `spec.scratch`: a folder in which one pass over the
    file serves all its item groups. Source: CDISC ODM 1.3.2 and 2.0. Raises `UnreadableFile`.
    """
    wanted = [spec["item_group"]] if isinstance(spec["item_group"], str) else spec["item_group"]
    with tempfile.TemporaryDirectory() as own:
        spill = odm_spill.opened(path, Path(spec.get("scratch", own)), _read)
        yield from odm_spill.rows(spill, wanted, KEYS)


def item_groups(path: Path, scratch: Path) -> list[str]:
    """The OIDs of the item groups that hold rows, in document order; one pass, which `batches` uses by `spec.scratch`.

    Raises `UnreadableFile`.
    """
    return list(odm_spill.opened(path, scratch, _read).groups)


def filled_groups(path: Path, scratch: Path) -> dict[str, tuple[int, str]]:
    """Item group -> its rows that hold an item, and the first of them; as `item_groups`."""
    return {group: (n, first) for group, (n, first) in odm_spill.opened(path, scratch, _read).filled.items()}


def version(path: Path) -> str:
    """What the root element says: `1.3.2`, `2.0`, or '' where it says nothing."""
    return _root(path).get("ODMVersion", "")


def file_type(path: Path) -> str:
    """`Snapshot`, `Transactional` or '' where the root element says nothing; reads no further than the root.

    Raises `UnreadableFile` where the file is no ODM-XML.
    """
    return _root(path).get("FileType", "")


def parser_of() -> Any:
    """A parser that refuses a document type."""
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    # raised before any entity is declared, let alone expanded
    parser.StartDoctypeDeclHandler = _refuse_doctype
    return parser


def _refuse_doctype(*_about: object) -> None:
    raise refusal("", "XML without a document type (DOCTYPE)")


def _root(path: Path) -> dict[str, str]:
    """The attributes of the root element, which must be ODM."""
    found: list[dict[str, str]] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if not found:
            _check_root(name)
            found.append(attributes)

    parser = parser_of()
    parser.StartElementHandler = start
    with path.open("rb") as file:
        while not found and file.tell() < HEAD and (chunk := file.read(1 << 12)):
            feed(parser, chunk, False)
    if not found:
        raise refusal("", "an ODM element at the top")
    return found[0]


def _check_root(name: str) -> None:
    if name.rpartition(" ")[2] != "ODM":
        raise refusal("", "an ODM element at the top")


def feed(parser: Any, data: bytes, is_last: bool) -> None:
    """Parse some bytes more; raises `UnreadableFile`."""
    try:
        parser.Parse(data, is_last)
    except expat.ExpatError as error:
        raise refusal(f"line {error.lineno}", "well-formed XML") from None
    except (LookupError, ValueError):
        # what Python raises for an encoding that it does not know
        raise refusal("line 1", "a declared encoding that exists, such as UTF-8") from None


def _read(path: Path, spill: Spill) -> None:
    """Parse the whole file into the spill."""
    parser, size = parser_of(), 0
    walk = Walk(parser, spill, nested_forms=version(path).startswith("2"))
    parser.StartElementHandler, parser.EndElementHandler = walk.start, walk.end
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            size += len(chunk)
            feed(parser, chunk, False)
            if size - parser.CurrentByteIndex > MOST_BYTES + CHUNK:
                raise walk.refused(f"tags of at most {MOST_BYTES >> 20} MB")
            if len(parser.intern) > MOST_NAMES:
                raise walk.refused(f"at most {MOST_NAMES} names of elements and attributes")
    feed(parser, b"", True)
