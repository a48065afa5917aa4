"""Where a row of an export's select stands in the written file: its path, and its line, sheet row or number."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipelines.errors import MappingError
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

PARTS = {"xlsx": ("sheets", "name"), "odm": ("groups", "item_group")}


def holder(file: dict[str, Any], part: str) -> tuple[dict[str, Any], str]:
    """The mapping that holds the select of `part`, and its key there."""
    if file["format"] == "dicom":
        return file, part
    if file["format"] in PARTS:
        listed, name = PARTS[file["format"]]
        found = next((each for each in file[listed] if each[name] == part), None)
        if found is None:
            raise MappingError(f"{file['centre']}/defects.yaml: {file['path']} has no part {part}. Correct the entry.")
        return found, "select"
    return file, "select"


def select(con: "duckdb.DuckDBPyConnection", file: Mapping[str, Any], held: dict[str, Any], key: str, part: str) -> str:
    """The select whose rows are those of the file; a pivoted sheet becomes what the pivot makes of it."""
    if file["format"] == "xlsx" and "pivot" in held:
        made = import_module("pipelines.simulate.write_xlsx").twin(con, file, part)
        del held["pivot"]
        return str(made)
    return str(held[key])


def place(slot: Any, same_file: Sequence[Any]) -> tuple[str, str, str]:
    """SQL of `source_file` and `source_row`, and the table (with `_n`) that they are read from."""
    file, path = slot.file, lit(slot.file["path"])
    if file["format"] == "csv":
        how = file.get("write", {})
        return path, f"(_n + {len(how.get('preamble', [])) + how.get('header', True)})::varchar", slot.table
    if file["format"] == "xlsx":
        return path, _sheet_row(slot.holder), slot.table
    if file["format"] == "odm":
        return path, "_place::varchar", f"({_numbered(file, slot, same_file)})"
    if file["format"] == "dicom":
        prefix = {"plans": "RP", "records": "RT"}[slot.part]
        return f"""{path} || '/{prefix}.' || "SOPInstanceUID"[-24:] || '.dcm'""", "'1'", slot.table
    return path, "_n::varchar", slot.table


def _sheet_row(sheet: Mapping[str, Any]) -> str:
    """Sheet and row: below the title, the header and what comes again on every page."""
    header, page = sheet.get("header_rows", 1), sheet.get("page", {})
    row = f"_n + {len(sheet.get('title', [])) + header}"
    if page:
        again = header if page.get("header", True) else 0
        row += f" + (_n - 1) // {page['rows']} * {len(page.get('footer', [])) + again}"
    return f"{lit(sheet['name'] + '!')} || ({row})::bigint"


def _numbered(file: Mapping[str, Any], slot: Any, same_file: Sequence[Any]) -> str:
    """The rows of one item group with their number among all of the document, in its order."""
    tables = {s.part: s.table for s in same_file}
    forms = list(dict.fromkeys(group["form"] for group in file["groups"]))
    events = ", ".join(lit(event) for event in file["events"])
    keys = "SubjectKey, StudyEventOID, StudyEventRepeatKey, ItemGroupRepeatKey"
    groups = []
    for number, group in enumerate(file["groups"]):
        rows = tables.get(group["item_group"])
        source = f"select _n, {keys} from {rows}" if rows else f"select 0 as _n, {keys} from ({group['select']})"
        groups.append(f"select *, {forms.index(group['form'])} as form_no, {number} as group_no from ({source})")
    mine = [group["item_group"] for group in file["groups"]].index(slot.part)
    order = f"""SubjectKey, list_position([{events}], StudyEventOID), try_cast(StudyEventRepeatKey as integer), form_no,
        group_no, try_cast(ItemGroupRepeatKey as integer)"""
    return f"""
        select t.*, o._place from {slot.table} t join (
            select _n, group_no, row_number() over (order by {order}) as _place from ({" union all ".join(groups)})
        ) o on o._n = t._n and o.group_no = {mine}"""
