"""What an ODM file says of its items: their questions, and the words of their code lists. Read up to the first data."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.readers.odm import CHUNK, feed, parser_of

TEXTS = ("Question", "Decode")  # whose first TranslatedText is what people see


@dataclass(frozen=True)
class Item:
    """An item by its question, else its name, and what each of its codes means; empty where the file does not say."""

    label: str
    codes: dict[str, str]


@dataclass
class _Words:
    """Where in the metadata the parser stands."""

    parser: Any
    labels: dict[str, str] = field(default_factory=dict)
    lists: dict[str, str] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    item: str = ""
    code_list: str = ""
    code: str = ""
    inside: str = ""
    texts: list[str] = field(default_factory=list)
    is_data: bool = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        name = tag.rpartition(" ")[2]
        if name == "ClinicalData":
            self.is_data = True
        elif name == "ItemDef":
            self.item = attributes.get("OID", "")
            self.labels[self.item] = attributes.get("Name", "")
        elif name == "CodeListRef" and self.item:
            self.lists[self.item] = attributes.get("CodeListOID", "")
        elif name == "CodeList":
            self.code_list = attributes.get("OID", "")
        elif name in ("CodeListItem", "EnumeratedItem"):
            self.code = attributes.get("CodedValue", "")
        elif name in TEXTS:
            self.inside, self.texts = name, []
        elif name == "TranslatedText" and self.inside and not self.texts:
            self.parser.CharacterDataHandler = self.texts.append

    def end(self, tag: str) -> None:
        name = tag.rpartition(" ")[2]
        if name == "TranslatedText":
            self.parser.CharacterDataHandler = None
        elif name in TEXTS:
            text = "".join(self.texts).strip()
            if text and name == "Question" and self.item:
                self.labels[self.item] = text
            elif text and self.code and self.code_list:
                self.codes.setdefault(self.code_list, {})[self.code] = text
            self.inside = ""
        elif name == "ItemDef":
            self.item = ""


def items(path: Path) -> dict[str, Item]:
    """Every item that the metadata of a file defines, by its OID. Raises `UnreadableFile`."""
    parser = parser_of()
    words = _Words(parser)
    parser.StartElementHandler, parser.EndElementHandler = words.start, words.end
    with path.open("rb") as file:
        while not words.is_data and (chunk := file.read(CHUNK)):
            feed(parser, chunk, False)
    return {oid: Item(label, words.codes.get(words.lists.get(oid, ""), {})) for oid, label in words.labels.items()}
