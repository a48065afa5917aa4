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
CHANGES = ("Update", "Upsert", "Remove")
UNIT = "MeasurementUnitOID"
MOST_UNITS = 100_000
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
    # what is said of each: its value, `NULLS` where it is stated to be blank
    items: dict[str, dict[str, None]] = field(default_factory=dict)


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
    item_def: tuple[str, int] = "", 0  # and how deep it lies: what checks its values has units of its own
    unit_def: str = ""
    units: dict[str, str] = field(default_factory=dict)  # as people write them
    item_units: dict[str, dict[str, None]] = field(default_factory=dict)
    unit: str = ""
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
            elif name == "MeasurementUnitRef":
                self.unit = attributes.get(UNIT, "")
        elif name.startswith("ItemData") and self.levels and self.levels[-1].kind == "ItemGroupData":
            self.item, self.item_depth, self.unit = attributes, self.depth, attributes.get(UNIT, "")
            if "Value" not in attributes:
                self._collect()
        elif name == "ItemGroupDef":
            self.group_def = attributes.get("OID", "")
        elif name == "ItemRef" and self.group_def:
            self._named(self.group_def, attributes.get("ItemOID", ""))
        else:
            self._define(name, attributes)

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
        elif name in ("TranslatedText", "MeasurementUnit") and self.unit_def:
            text = "".join(self.texts).strip(" \t\r\n\0")
            self.units[self.unit_def] = text or self.units[self.unit_def]
            self.unit_def, self.texts, self.n_chars, self.parser.CharacterDataHandler = "", [], 0, None

    def _define(self, name: str, attributes: dict[str, str]) -> None:
        """What the metadata says of units: how people write them, and the one of an item that has no other."""
        if name == "MeasurementUnit":
            self.unit_def = attributes.get("OID", "")
            self.units[self.unit_def] = attributes.get("Name", "")
        elif name == "TranslatedText" and self.unit_def:
            self._collect()
        elif name == "ItemDef":
            self.item_def = attributes.get("OID", ""), self.depth
        elif name == "MeasurementUnitRef" and self.depth == self.item_def[1] + 1:
            self.item_units.setdefault(self.item_def[0], {})[attributes.get(UNIT, "")] = None
        if len(self.units) + len(self.item_units) > MOST_UNITS:
            raise self.refused(f"at most {MOST_UNITS} units and items that have one")

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
            items = {oid: " | ".join(said) for oid, said in level.items.items() if [*said] != [NULLS]}
            row = {"source_row": str(level.number), **self._keys(), "TransactionType": transaction, **items}
            if len(items) < len(level.items):
                row[NULLS] = " ".join(oid for oid in level.items if oid not in items)
            self.spill.add(level.keys.get("ItemGroupOID", ""), row, bool(items))
        self.levels.pop()

    def _close_item(self, item: dict[str, str]) -> None:
        """What is said of one item; several values of one (ODM 2.0) are listed with a bar between."""
        level, oid, change = self.levels[-1], item.get("ItemOID", ""), item.get("TransactionType", "")
        # no text of XML holds a NUL: it stands between values
        value = item.get("Value", "|".join(filter(None, map(str.strip, "".join(self.texts).split("\0")))))
        self._named(level.keys.get("ItemGroupOID", ""), oid)
        level.n_chars += len(value)
        if level.n_chars > MOST_BYTES:
            raise self.refused(f"item groups with values of at most {MOST_BYTES >> 20} MB")
        if change in CHANGES:
            level.items.pop(oid, None)  # what was said before no longer holds
        said = level.items.setdefault(oid, {})
        if value and change != "Remove":
            units = [self.unit] if self.unit else [*self.item_units.get(oid, ())]
            is_amount = len(units) == 1 and any(map(str.isdigit, value))  # a word for missing has no unit
            said[f"{value} {self.units.get(units[0]) or units[0]}" if is_amount else value] = None
        if item.get("IsNull") == "Yes" or change == "Remove" or not value:
            said[NULLS] = None
        self.item, self.texts, self.n_chars, self.parser.CharacterDataHandler = None, [], 0, None

    def _named(self, group: str, oid: str) -> None:
        """An item of a group is a column of its own."""
        wrong = self.spill.name(group, oid, (*KEYS, "FormRepeatKey", NULLS, "source_row"))
        if wrong:
            raise self.refused(wrong)
