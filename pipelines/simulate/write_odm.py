"""A CDISC ODM-XML 1.3.2 snapshot as an OpenClinica-like system exports it, from one wide select per item group."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study

if TYPE_CHECKING:
    import duckdb

ODM = "http://www.cdisc.org/ns/odm/v1.3"
VENDOR = "http://www.openclinica.org/ns/odm_ext_v130/v3.1"
KEYS = ("SubjectKey", "StudySubjectID", "StudyEventOID", "StudyEventRepeatKey", "ItemGroupRepeatKey")
# what a plain export says of each record; a snapshot knows no other
TRANSACTION = "Insert"
DATA_TYPES = {"VARCHAR": "text", "DATE": "date", "INTEGER": "integer", "BIGINT": "integer"}
SUBJECTS = "{subjects}"
FETCH = 500
MACROS = """
create or replace temp macro xml_text(x) as
    replace(replace(replace(replace(x::varchar, '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;');
create or replace temp macro xml_attr(name, x) as coalesce(' ' || name || '="' || xml_text(x) || '"', '');
"""


def write(con: "duckdb.DuckDBPyConnection", spec: Mapping[str, Any], target: Path) -> None:
    """Write one snapshot; each of `spec.groups` has a select whose grain is a row an ItemGroupData.

    `spec.write`: study_oid, study_name, metadata_oid. `spec.events`: StudyEventOID -> name, in document order.
    A group: item_group, name, form, codes (item -> list of the centre's `codes`), select with the columns
    SubjectKey, StudySubjectID, StudyEventOID, StudyEventRepeatKey, ItemGroupRepeatKey and one per ItemOID. A NULL item
    is left out. Forms and groups come in the order of `groups`. Source: CDISC ODM 1.3.2.
    """
    before, after = _frame(con, spec).split(SUBJECTS)
    cursor = con.execute(_subjects(con, spec))
    with target.open("w", encoding="utf-8", newline="\n") as file:
        file.write(before)
        while rows := cursor.fetchmany(FETCH):
            file.writelines(xml for (xml,) in rows)
        file.write(after)


def twin(con: "duckdb.DuckDBPyConnection", spec: Mapping[str, Any], part: str) -> str:
    """The select whose columns are those of item group `part` as a reader sees it."""
    group = {group["item_group"]: group for group in spec["groups"]}[part]
    items = ", ".join(f'"{name}"' for name in _items(con, group))
    return f"""
        select SubjectKey, StudySubjectID, StudyEventOID, StudyEventRepeatKey,
            {study.sql_literal(group["form"])} as FormOID, {study.sql_literal(part)} as ItemGroupOID,
            ItemGroupRepeatKey, '{TRANSACTION}' as TransactionType, {items}
        from ({group["select"]})"""


def _items(con: "duckdb.DuckDBPyConnection", group: Mapping[str, Any]) -> dict[str, str]:
    """ItemOID -> ODM data type of the columns that are not keys."""
    described = con.execute(f"describe {group['select']}").fetchall()
    return {name: DATA_TYPES.get(kind, "float") for name, kind, *_ in described if name not in KEYS}


def _subjects(con: "duckdb.DuckDBPyConnection", spec: Mapping[str, Any]) -> str:
    """SQL that makes one SubjectData element a row, from the inside out: item group, form, event, subject."""
    con.execute(MACROS)
    parts = []
    forms = list(dict.fromkeys(group["form"] for group in spec["groups"]))
    for number, group in enumerate(spec["groups"]):
        items = " || ".join(
            f"""coalesce('<ItemData ItemOID="{name}" Value="' || xml_text("{name}") || '"/>\n', '')"""
            for name in _items(con, group)
        )
        parts.append(f"""
            select {", ".join(KEYS[:4])}, {forms.index(group["form"])} as form_no, '{group["form"]}' as form,
                {number} as group_no, try_cast(ItemGroupRepeatKey as integer) as group_repeat,
                '<ItemGroupData ItemGroupOID="{group["item_group"]}"'
                || xml_attr('ItemGroupRepeatKey', ItemGroupRepeatKey)
                || ' TransactionType="{TRANSACTION}">\n' || {items} || '</ItemGroupData>\n' as xml
            from ({group["select"]})""")
    events = ", ".join(study.sql_literal(event) for event in spec["events"])
    return f"""
        with item_groups as ({" union all ".join(parts)}),
        forms as (
            select {", ".join(KEYS[:4])}, form_no,
                '<FormData FormOID="' || form || '">\n' || string_agg(xml, '' order by group_no, group_repeat)
                || '</FormData>\n' as xml
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
    header = {"ODMVersion": "1.3.2", "FileType": "Snapshot", "FileOID": f"{how['study_oid']}.{spec['extract_date']}"}
    header |= {"CreationDateTime": made, "AsOfDateTime": made}
    root = etree.Element("ODM", header, nsmap={None: ODM, "OpenClinica": VENDOR})
    study_element = etree.SubElement(root, "Study", OID=how["study_oid"])
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
    protocol = etree.SubElement(meta, "Protocol")
    for event in spec["events"]:
        etree.SubElement(protocol, "StudyEventRef", StudyEventOID=event, Mandatory="No")
    for event, name in spec["events"].items():
        event_def = etree.SubElement(meta, "StudyEventDef", OID=event, Name=name, Repeating="Yes", Type="Scheduled")
        for form in forms:
            etree.SubElement(event_def, "FormRef", FormOID=form, Mandatory="No")
    for form in forms:
        form_def = etree.SubElement(meta, "FormDef", OID=form, Name=form, Repeating="No")
        for group in spec["groups"]:
            if group["form"] == form:
                etree.SubElement(form_def, "ItemGroupRef", ItemGroupOID=group["item_group"], Mandatory="No")


def _items_and_codes(con: "duckdb.DuckDBPyConnection", meta: Any, spec: Mapping[str, Any]) -> None:
    """Item groups, items and code lists of the metadata; a code list shows the centre's own codes."""
    from lxml import etree

    for group in spec["groups"]:
        names = {"OID": group["item_group"], "Name": group["name"], "Repeating": "Yes"}
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
