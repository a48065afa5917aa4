"""CDISC ODM-XML: one row per item group; a document type is refused, nothing is fetched."""

from collections import defaultdict
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import Problem, UnreadableFile
from pipelines.readers.read import text_table

if TYPE_CHECKING:
    import pyarrow as pa

AGAIN = "Export it again as ODM-XML."
KEYS = ("SubjectKey", "StudySubjectID", "StudyEventOID", "StudyEventRepeatKey", "FormOID", "ItemGroupOID",
        "ItemGroupRepeatKey", "TransactionType")  # fmt: skip
# what each level of the tree adds; OpenClinica's StudySubjectID has a namespace of its own
LEVELS = {
    "SubjectData": ("SubjectKey", "StudySubjectID"),
    "StudyEventData": ("StudyEventOID", "StudyEventRepeatKey"),
    "FormData": ("FormOID",),
    "ItemGroupData": ("ItemGroupOID", "ItemGroupRepeatKey"),
}
BATCH = 20_000


def read_file(path: Path, spec: Mapping[str, Any]) -> "pa.Table":
    """One row per ItemGroupData with one of the OIDs in `spec.item_group`: its keys, then one column per item.

    `source_row` is the number of the ItemGroupData in document order over the whole file. TransactionType is that of
    the innermost level that states one. Items that the file's metadata lists are columns even where no row fills them.
    Source: CDISC ODM 1.3.2; of ODM 2.0, nested item groups and values in a child element. Raises `UnreadableFile`.
    """
    import pyarrow as pa

    wanted = [spec["item_group"]] if isinstance(spec["item_group"], str) else spec["item_group"]
    status = path.stat()
    groups, items = _groups(path, status.st_size, status.st_mtime_ns)
    empty = text_table({name: [] for name in ("source_row", *KEYS, *(i for oid in wanted for i in items.get(oid, ())))})
    parts = [part for oid in wanted for part in groups.get(oid, ())]
    return pa.concat_tables([empty, *parts], promote_options="default")


@lru_cache(maxsize=1)
def _groups(path: Path, _size: int, _changed: int) -> tuple[dict[str, list["pa.Table"]], dict[str, list[str]]]:
    """Rows of every item group, and the items of each by the metadata; kept, because one file holds several sources."""
    from lxml import etree

    tables: dict[str, list[pa.Table]] = defaultdict(list)
    rows: dict[str, list[dict[str, str | None]]] = defaultdict(list)
    items: dict[str, list[str]] = defaultdict(list)
    above: list[dict[str, str]] = []
    number, defined = 0, ""
    events = etree.iterparse(
        str(path), events=("start", "end"), resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False
    )
    try:
        for event, element in events:
            name = etree.QName(element).localname
            if event == "start" and element.getparent() is None:
                _check_root(name, element)
            elif event == "start" and name == "ItemGroupDef":
                defined = element.get("OID", "")
            elif event == "start" and name == "ItemRef" and defined:
                items[defined].append(element.get("ItemOID", ""))
            elif event == "start" and name in LEVELS:
                number += name == "ItemGroupData"
                above.append(_keys(name, element) | {"source_row": str(number)})
            elif event == "end" and name in LEVELS:
                if name == "ItemGroupData":
                    oid = element.get("ItemGroupOID", "")
                    rows[oid].append({**{key: level[key] for level in above for key in level}, **_items(element)})
                    _flush(rows, tables, oid, BATCH)
                above.pop()
                element.clear()
            elif event == "end" and name == "ItemGroupDef":
                defined = ""
    except etree.XMLSyntaxError as error:
        raise UnreadableFile([Problem("", f"line {error.lineno}", "well-formed XML", AGAIN)]) from None
    for oid in rows:
        _flush(rows, tables, oid, 1)
    return dict(tables), dict(items)


def _check_root(name: str, root: Any) -> None:
    if root.getroottree().docinfo.doctype:
        raise UnreadableFile([Problem("", "", "XML without a document type (DOCTYPE)", AGAIN)])
    if name != "ODM":
        raise UnreadableFile([Problem("", "", "an ODM element at the top", AGAIN)])


def _keys(level: str, element: Any) -> dict[str, str]:
    """The keys that one level adds, and its transaction type if it states one."""
    attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
    return {key: attributes[key] for key in (*LEVELS[level], "TransactionType") if key in attributes}


def _items(group: Any) -> dict[str, str | None]:
    """Items of one item group; ODM 2.0 and typed 1.3 items hold the value in the element, not in an attribute."""
    found = {}
    for item in group:
        if isinstance(item.tag, str) and item.tag.rpartition("}")[2].startswith("ItemData"):
            value = item.get("Value")
            found[item.get("ItemOID", "")] = "".join(item.itertext()).strip() if value is None else value
    return found


def _flush(
    rows: dict[str, list[dict[str, str | None]]], tables: dict[str, list["pa.Table"]], oid: str, least: int
) -> None:
    """Turn the rows gathered of one item group into columns once there are enough, so that memory stays small."""
    if len(rows[oid]) < least:
        return
    names = dict.fromkeys(name for row in rows[oid] for name in ("source_row", *KEYS, *row))
    tables[oid].append(text_table({name: [row.get(name) for row in rows[oid]] for name in names}))
    rows[oid] = []
