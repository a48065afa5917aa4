"""One table of a sample export as it was seen: how it is read, its rows, and how each guess was made."""

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import yaml_schema

if TYPE_CHECKING:
    import pyarrow as pa

ROW = ("source_file", "source_row")  # what every reader puts before a row


@dataclass(frozen=True)
class Extra:
    """One more word of a source's mapping, and why it stands there."""

    word: str
    value: Any
    why: str


@dataclass(frozen=True)
class Seen:
    """A file, a sheet, an item group, resources or DICOM objects of one kind, and how they are read.

    `names` are the columns to be guessed; others of `rows` are the format's own, told by `extra`. `units`: column ->
    the column that holds its unit. `unpivot`: how these rows are made of the source's columns; `origin`: column of the
    source -> what it became there. `recipe`: staged table -> parts, where the format itself says what its columns mean.
    `not_read`: what is there and names a person. `labels` and `codes`: what the file itself says of its columns.
    `totals`: finds rows of totals among the others. `records`: the rows that hold a whole record, where others only
    change one.
    """

    source: str
    file: str
    read: Mapping[str, Any]
    why: Sequence[str]
    names: tuple[str, ...]
    rows: "pa.Table"
    preamble: int = 0
    newline: str = "\n"
    footer: Mapping[str, Any] | None = None
    footer_word: str = ""
    globs: Sequence[str] = ()
    extra: Sequence[Extra] = ()
    units: Mapping[str, str] = field(default_factory=dict)
    unpivot: Mapping[str, Any] = field(default_factory=dict)
    origin: Mapping[str, str] = field(default_factory=dict)
    recipe: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    not_read: Collection[str] = ()
    version: str = ""
    totals: Mapping[str, Any] = field(default_factory=dict)
    records: "pa.Table | None" = None
    labels: Mapping[str, str] = field(default_factory=dict)
    codes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def glob_of(file: str) -> str:
    """A file's name with every number left open."""
    return re.sub(r"\d[\d_.-]*(?=\D|$)", "*", Path(file).stem) + Path(file).suffix


def source_of(name: str) -> str:
    """A name of ours for a source, from that of its file, sheet or item group."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[\W\d_]+", "_", plain).strip("_") or "data"


@cache
def words() -> dict[str, Any]:
    """The words by which an export is profiled, from `words.yaml`."""
    return dict(yaml_schema.read(Path(__file__).parent / "words.yaml"))
