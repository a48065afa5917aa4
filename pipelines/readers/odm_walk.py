"""What stands where in a CDISC ODM document: from the parser's tags to rows with the keys of every level."""

from dataclasses import dataclass, field
from typing import Any

from pipelines.errors import Problem, UnreadableFile
from pipelines.readers.odm_spill import Spill

AGAIN = "Export it again as ODM-XML."
KEYS = ("SubjectKey", "StudySubjectID", "StudyEventOID", "StudyEventRepeatKey", "FormOID", "ItemGroupOID",
        "ItemGroupRepeatKey", "TransactionType")  # fmt: skip
NULLS = "IsNull"  # items that a row states to be blank, with spaces between: what it does not name it leaves as it was
# what each level of the tree adds; OpenClinica's StudySubjectID has a namespace of its own
LEVELS = {
    "SubjectData": ("SubjectKey", "StudySubjectID"),
    "StudyEventData": ("StudyEventOID", "StudyEventRepeatKey"),
    "FormData": ("FormOID", "FormRepeatKey"),
    "ItemGroupData": ("ItemGroupOID", "ItemGroupRepeatKey"),
}
TRANSACTIONS = ("Insert", "Update", "Upsert", "Remove", "Context")
MOST_BYTES = 10 << 20  # of one tag with its attributes, of one value, of the values of one item group
MOST_DEPTH = 256


def refusal(place: str, expected: str) -> UnreadableFile:
    """One reason why a file is no ODM-XML that can be read."""
    return UnreadableFile([Problem("", place, expected, AGAIN)])


@dataclass
class _Level:
    """One open element of `LEVELS`: what it adds to the keys, its transaction type and its number of its kind."""

    kind: str
    keys: dict[str, str]
    transaction: str
    number: int
    n_chars: int = 0
    items: dict[str, str] = field(default_factory=dict)
    nulls: dict[str, None] = field(default_factory=dict)


@dataclass
class Walk:
    """Where in the document the parser stands: the open levels, the open item and the numbers given so far."""

    parser: Any
    spill: Spill
    nested_forms: bool
    namespace: str = ""
    depth: int = 0
    levels: list[_Level] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    group_def: str = ""
    item: dict[str, str] | None = None
    item_depth: int = 0
    texts: list[str] = field(default_factory=list)
    n_chars: int = 0

    def refused(self, expected: str) -> UnreadableFile:
        return refusal(f"line {self.parser.CurrentLineNumber}", expected)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise self.refused(f"elements at most {MOST_DEPTH} deep")
        namespace, _, name = tag.rpartition(" ")
        if self.depth == 1:
            self.namespace = namespace
        if self.item is not None:
            # a comment, an audit record or a vendor's note inside an item is none of its value
            self.parser.CharacterDataHandler = None
        if namespace != self.namespace:
            if name in LEVELS:
                raise self.refused(f"{name} in the namespace of the ODM element")
            return
        if name in LEVELS:
            self._open(name, attributes)
        elif self.item is not None:
            if name == "Value" and self.depth == self.item_depth + 1:
                self._collect()
        elif name.startswith("ItemData") and self.levels and self.levels[-1].kind == "ItemGroupData":
            self.item, self.item_depth = attributes, self.depth
            if "Value" not in attributes:
                self._collect()
        elif name == "ItemGroupDef":
            self.group_def = attributes.get("OID", "")
        elif name == "ItemRef" and self.group_def:
            self._named(self.group_def, attributes.get("ItemOID", ""))

    def end(self, tag: str) -> None:
        self.depth -= 1
        namespace, _, name = tag.rpartition(" ")
        if self.item is not None and self.depth == self.item_depth and "Value" not in self.item:
            self.parser.CharacterDataHandler = self._text
        if namespace != self.namespace:
            return
        if name in LEVELS:
            self._close()
        elif self.item is not None and self.depth == self.item_depth - 1:
            self._close_item(self.item)
        elif name == "ItemGroupDef":
            self.group_def = ""

    def _collect(self) -> None:
        """The text that comes now is a value."""
        self.texts.append("\0")
        self.parser.CharacterDataHandler = self._text

    def _text(self, text: str) -> None:
        self.n_chars += len(text)
        if self.n_chars > MOST_BYTES:
            raise self.refused(f"values of at most {MOST_BYTES >> 20} MB")
        self.texts.append(text)

    def _open(self, kind: str, attributes: dict[str, str]) -> None:
        # the standard's own attributes have no namespace, and win over a vendor's of the same name
        plain = {k.rpartition(" ")[2]: v for k, v in sorted(attributes.items(), key=lambda a: " " not in a[0])}
        transaction = plain.get("TransactionType", "")
        if transaction not in ("", *TRANSACTIONS):
            raise self.refused(f"a TransactionType that is one of {', '.join(TRANSACTIONS)}")
        number = self.numbers[kind] = self.numbers.get(kind, 0) + 1
        level = _Level(kind, {k: plain[k] for k in LEVELS[kind] if plain.get(k)}, transaction, number)
        self.levels.append(level)
        is_form = self.nested_forms and [each.kind for each in self.levels].count("ItemGroupData") == 1
        if transaction == "Remove" and (kind != "ItemGroupData" or is_form):
            keys = self._keys()
            if kind == "ItemGroupData":
                keys = self._keys(self.levels[:-1]) | {"FormOID": keys.get("ItemGroupOID", "")}
            self.spill.remove({"source_row": f"{kind}!{number}", **keys, "TransactionType": transaction})

    def _keys(self, levels: list[_Level] | None = None) -> dict[str, str]:
        """The keys of the innermost level; of nested item groups the outermost is the form."""
        levels = self.levels if levels is None else levels
        groups = [each for each in levels if each.kind == "ItemGroupData"]
        keys = {k: v for each in levels if each not in groups[:-1] for k, v in each.keys.items()}
        if len(groups) > 1:
            keys.setdefault("FormOID", groups[0].keys.get("ItemGroupOID", ""))
            repeats = [each.keys.get("ItemGroupRepeatKey", "") for each in groups[:-1]]
            if any(repeats):
                keys["FormRepeatKey"] = "/".join(filter(None, [keys.get("FormRepeatKey", ""), *repeats]))
        return keys

    def _close(self) -> None:
        level = self.levels[-1]
        if level.kind == "ItemGroupData":
            stated = [each.transaction for each in self.levels if each.transaction]
            transaction = "Remove" if "Remove" in stated else stated[-1] if stated else ""
            row = {"source_row": str(level.number), **self._keys(), "TransactionType": transaction, **level.items}
            if level.nulls:
                row[NULLS] = " ".join(level.nulls)
            self.spill.add(level.keys.get("ItemGroupOID", ""), row, bool(level.items))
        self.levels.pop()

    def _close_item(self, item: dict[str, str]) -> None:
        """One item's value; several of one item (ODM 2.0) are listed with a bar between."""
        level, oid = self.levels[-1], item.get("ItemOID", "")
        # no text of XML holds a NUL: it stands between values
        value = item.get("Value", "|".join(filter(None, map(str.strip, "".join(self.texts).split("\0")))))
        self._named(level.keys.get("ItemGroupOID", ""), oid)
        level.n_chars += len(value)
        if level.n_chars > MOST_BYTES:
            raise self.refused(f"item groups with values of at most {MOST_BYTES >> 20} MB")
        if item.get("IsNull") == "Yes" or item.get("TransactionType") == "Remove" or not value:
            level.nulls[oid] = None
            level.items.pop(oid, None)
        else:
            level.items[oid] = value
            level.nulls.pop(oid, None)
        self.item, self.texts, self.n_chars, self.parser.CharacterDataHandler = None, [], 0, None

    def _named(self, group: str, oid: str) -> None:
        """An item of a group is a column of its own."""
        wrong = self.spill.name(group, oid, (*KEYS, "FormRepeatKey", NULLS, "source_row"))
        if wrong:
            raise self.refused(wrong)
