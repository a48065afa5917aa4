"""CDISC ODM-XML 1.3.2 or 2.0 as an OpenClinica-like system exports it, from one wide select per item group."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study

if TYPE_CHECKING:
    import duckdb

ODM = {"1.3.2": "http://www.cdisc.org/ns/odm/v1.3", "2.0": "http://www.cdisc.org/ns/odm/v2.0"}
VENDOR = "http://www.openclinica.org/ns/odm_ext_v130/v3.1"
KEYS = ("SubjectKey", "StudySubjectID", "StudyEventOID", "StudyEventRepeatKey", "ItemGroupRepeatKey")
# what a plain export says of each record
TRANSACTION = "Insert"
CHANGES = ("TransactionType", "IsNull")  # columns that a group may have beside its items
DATA_TYPES = {"VARCHAR": "text", "DATE": "date", "INTEGER": "integer", "BIGINT": "integer"}
SUBJECTS = "{subjects}"
FETCH = 500
# how an item's value and a form are written
MARKS = {
    "1.3.2": (' Value="', '"/>', '<FormData FormOID="', "</FormData>"),
    "2.0": ("><Value>", "</Value></ItemData>", '<ItemGroupData ItemGroupOID="', "</ItemGroupData>"),
}
MACROS = """
create or replace temp macro xml_text(x) as
    replace(replace(replace(replace(x::varchar, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;');
create or replace temp macro xml_attr(name, x) as coalesce(' ' || name || '="' || xml_text(x) || '"', '');
"""


def write(con: "duckdb.DuckDBPyConnection", spec: Mapping[str, Any], target: Path) -> None:
    """Write one file; each of `spec.groups` has a select whose grain is a row an ItemGroupData.

    `spec.write`: study_oid, study_name, metadata_oid, file_type (Snapshot), version (1.3.2). `spec.events`:
    StudyEventOID -> name, in document order. A group: item_group, name, form, codes (item -> list of the centre's
    `codes`), select with the columns SubjectKey, StudySubjectID, StudyEventOID, StudyEventRepeatKey, ItemGroupRepeatKey
    and one per ItemOID; also TransactionType (else Insert) and IsNull, the items that are stated to be blank, with
    spaces between. Any other NULL item is left out. Forms and groups come in the order of `groups`, removed subjects
    (`spec.removed`, a select of SubjectKey and StudySubjectID) at the end. In 2.0 a form is an item group. Source:
    CDISC ODM 1.3.2 and 2.0.
    """
    before, after = _frame(con, spec).split(SUBJECTS)
    cursor = con.execute(_subjects(con, spec))
    with target.open("w", encoding="utf-8", newline="\n") as file:
        file.write(before)
        while rows := cursor.fetchmany(FETCH):
            file.writelines(xml for (xml,) in rows)
        if "removed" in spec:
            file.writelines(xml for (xml,) in con.execute(_removed(spec)).fetchall())
        file.write(after)


def twin(con: "duckdb.DuckDBPyConnection", spec: Mapping[str, Any], part: str) -> str:
    """The select whose columns are those of item group `part` as a reader sees it."""
    group = {group["item_group"]: group for group in spec["groups"]}[part]
    items = ", ".join(f'"{name}"' for name in _items(con, group))
    blank = '"IsNull", ' if "IsNull" in _columns(con, group) else ""
    return f"""
        select SubjectKey, StudySubjectID, StudyEventOID, StudyEventRepeatKey,
            {study.sql_literal(group["form"])} as FormOID, {study.sql_literal(part)} as ItemGroupOID,
            ItemGroupRepeatKey, TransactionType, {blank}{items}
        from ({_rows(con, group)})"""


def _items(con: "duckdb.DuckDBPyConnection", group: Mapping[str, Any]) -> dict[str, str]:
    """ItemOID -> ODM data type of the columns that are not keys."""
    columns = _columns(con, group).items()
    return {name: DATA_TYPES.get(kind, "float") for name, kind in columns if name not in (*KEYS, *CHANGES)}


def _columns(con: "duckdb.DuckDBPyConnection", group: Mapping[str, Any]) -> dict[str, str]:
    return {name: kind for name, kind, *_ in con.execute(f"describe {group['select']}").fetchall()}


def _rows(con: "duckdb.DuckDBPyConnection", group: Mapping[str, Any]) -> str:
    """The group's select with all of `CHANGES`: without a word of its own a record is inserted, and states no blank."""
    there = _columns(con, group)
    plain = "" if "TransactionType" in there else f", '{TRANSACTION}' as TransactionType"
    blank = "" if "IsNull" in there else ', null::varchar as "IsNull"'
    return f"select *{plain}{blank} from ({group['select']})"


def _removed(spec: Mapping[str, Any]) -> str:
    return f"""
        select '<SubjectData' || xml_attr('SubjectKey', SubjectKey)
            || xml_attr('OpenClinica:StudySubjectID', StudySubjectID) || ' TransactionType="Remove"/>\n'
        from ({spec["removed"]}) order by SubjectKey"""


def _subjects(con: "duckdb.DuckDBPyConnection", spec: Mapping[str, Any]) -> str:
    """SQL that makes one SubjectData element a row, from the inside out: item group, form, event, subject."""
    con.execute(MACROS)
    version, parts = spec["write"].get("version", "1.3.2"), []
    start, end, form_start, form_end = MARKS[version]
    forms = list(dict.fromkeys(group["form"] for group in spec["groups"]))
    for number, group in enumerate(spec["groups"]):
        items = " || ".join(
            f"""case when "{name}" is not null then '<ItemData ItemOID="{name}"{start}' || xml_text("{name}")
                || '{end}\n' when list_contains(string_split("IsNull", ' '), '{name}')
                then '<ItemData ItemOID="{name}" IsNull="Yes"/>\n' else '' end"""
            for name in _items(con, group)
        )
        parts.append(f"""
            select {", ".join(KEYS[:4])}, {forms.index(group["form"])} as form_no, '{group["form"]}' as form,
                {number} as group_no, try_cast(ItemGroupRepeatKey as integer) as group_repeat,
                '<ItemGroupData ItemGroupOID="{group["item_group"]}"'
                || xml_attr('ItemGroupRepeatKey', ItemGroupRepeatKey)
                || xml_attr('TransactionType', TransactionType) || '>\n' || {items} || '</ItemGroupData>\n' as xml
            from ({_rows(con, group)})""")
    events = ", ".join(study.sql_literal(event) for event in spec["events"])
    return f"""
        with item_groups as ({" union all ".join(parts)}),
        forms as (
            select {", ".join(KEYS[:4])}, form_no,
                '{form_start}' || form || '" OpenClinica:Status="unavailable">\n'
                || string_agg(xml, '' order by group_no, group_repeat)
                || '{form_end}\n' as xml
            from item_groups group by {", ".join(KEYS[:4])}, form_no, form
        ),
        events as (
            select {", ".join(KEYS[:4])},
                '<StudyEventData' || xml_attr('StudyEventOID', StudyEventOID)
                || xml_attr('StudyEventRepeatKey', StudyEventRepeatKey) || '>\n'
                || string_agg(xml, '' order by form_no) || '</StudyEventData>\n' as xml
            from forms group by {", ".join(KEYS[:4])}
        )
        select '<SubjectData' || xml_attr('SubjectKey', SubjectKey)
            || xml_attr('OpenClinica:StudySubjectID', StudySubjectID) || '>\n'
            || string_agg(
                xml, '' order by list_position([{events}], StudyEventOID), try_cast(StudyEventRepeatKey as integer)
            ) || '</SubjectData>\n' as xml
        from events group by SubjectKey, StudySubjectID order by SubjectKey"""


def _frame(con: "duckdb.DuckDBPyConnection", spec: Mapping[str, Any]) -> str:
    """Everything around the subjects: file header, study and its metadata, with a mark where the subjects go."""
    from lxml import etree

    how, made = spec["write"], f"{spec['extract_date']}T00:00:00"
    version, kind = how.get("version", "1.3.2"), how.get("file_type", "Snapshot")
    header = {"ODMVersion": version, "FileType": kind, "FileOID": f"{how['study_oid']}.{kind}.{spec['extract_date']}"}
    header |= {"CreationDateTime": made, "AsOfDateTime": made}
    root = etree.Element("ODM", header, nsmap={None: ODM[version], "OpenClinica": VENDOR})
    study_element = etree.SubElement(root, "Study", OID=how["study_oid"])
    if version == "2.0":
        study_element.attrib.update({"StudyName": how["study_name"], "ProtocolName": how["study_name"]})
    else:
        names = etree.SubElement(study_element, "GlobalVariables")
        for tag in ("StudyName", "StudyDescription", "ProtocolName"):
            etree.SubElement(names, tag).text = how["study_name"]
    meta = etree.SubElement(study_element, "MetaDataVersion", OID=how["metadata_oid"], Name=how["study_name"])
    _events_and_forms(meta, spec)
    _items_and_codes(con, meta, spec)
    data = {"StudyOID": how["study_oid"], "MetaDataVersionOID": how["metadata_oid"]}
    etree.SubElement(root, "ClinicalData", data).text = "\n" + SUBJECTS
    return etree.tostring(root, pretty_print=True, xml_declaration=True, encoding="UTF-8").decode()


def _events_and_forms(meta: Any, spec: Mapping[str, Any]) -> None:
    """Events, forms and which item groups a form holds; every event may hold every form."""
    from lxml import etree

    forms = dict.fromkeys(group["form"] for group in spec["groups"])
    is_new = spec["write"].get("version") == "2.0"
    tag, key = ("ItemGroupRef", "ItemGroupOID") if is_new else ("FormRef", "FormOID")
    protocol = etree.SubElement(meta, "Protocol")
    for event in spec["events"]:
        etree.SubElement(protocol, "StudyEventRef", StudyEventOID=event, Mandatory="No")
    for event, name in spec["events"].items():
        event_def = etree.SubElement(meta, "StudyEventDef", OID=event, Name=name, Repeating="Yes", Type="Scheduled")
        for form in forms:
            etree.SubElement(event_def, tag, {key: form, "Mandatory": "No"})
    for form in forms:
        about = {"OID": form, "Name": form, "Repeating": "No"} | ({"Type": "Form"} if is_new else {})
        form_def = etree.SubElement(
            meta, *(("ItemGroupDef", about | {"Type": "Form"}) if is_new else ("FormDef", about))
        )
        for group in spec["groups"]:
            if group["form"] == form:
                etree.SubElement(form_def, "ItemGroupRef", ItemGroupOID=group["item_group"], Mandatory="No")


def _items_and_codes(con: "duckdb.DuckDBPyConnection", meta: Any, spec: Mapping[str, Any]) -> None:
    """Item groups, items and code lists of the metadata; a code list shows the centre's own codes."""
    from lxml import etree

    for group in spec["groups"]:
        names = {"OID": group["item_group"], "Name": group["name"], "Repeating": "Yes"}
        names |= {"Type": "Section"} if spec["write"].get("version") == "2.0" else {}
        group_def = etree.SubElement(meta, "ItemGroupDef", names)
        for item in _items(con, group):
            etree.SubElement(group_def, "ItemRef", ItemOID=item, Mandatory="No")
    used = {}
    for group in spec["groups"]:
        for item, kind in _items(con, group).items():
            item_def = etree.SubElement(meta, "ItemDef", OID=item, Name=item, DataType=kind)
            if item in group.get("codes", {}):
                used[group["codes"][item]] = f"CL_{group['codes'][item].upper()}"
                etree.SubElement(item_def, "CodeListRef", CodeListOID=used[group["codes"][item]])
    for name, oid in used.items():
        code_list = etree.SubElement(meta, "CodeList", OID=oid, Name=name, DataType="text")
        for code, word in spec["codes"][name].items():
            entry = etree.SubElement(code_list, "CodeListItem", CodedValue=str(word))
            decode = etree.SubElement(etree.SubElement(entry, "Decode"), "TranslatedText")
            decode.text = code.replace("_", " ")
