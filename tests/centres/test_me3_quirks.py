"""The habits of me3, each in a small hand-written or rendered delivery: what it becomes, what is dropped or asked."""

from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from pipelines import centres, staging, study, warehouse
from pipelines.deliveries import erase_rows, intake, land, ledger
from pipelines.deliveries.unknown import _agree, _coded
from pipelines.errors import DeliveryRejected
from pipelines.readers.read import read
from pipelines.simulate import render, truth
from pipelines.warehouse import Home

FOLDER = study.ROOT / "centres"
COHORT = study.ROOT / "examples" / "reference_study"
HEAD = """<ODM xmlns="http://www.cdisc.org/ns/odm/v1.3" xmlns:OpenClinica="http://www.openclinica.org/ns/odm_ext_v130/v3.1"
    ODMVersion="1.3.2" FileType="{}" OpenClinica:Build="3.1"><ClinicalData StudyOID="S" OpenClinica:Site="x">"""
LOG = "StudySubjectID;StudyCode;Sex;YearOfBirth\nME3/1;RCC-ME3-001-X;m;1950\nME3/2;RCC-ME3-002-X;f;1951\n"
TWIN = "SubjectKey,StudySubjectID,StudyEventOID,StudyEventRepeatKey,FormOID,ItemGroupOID,ItemGroupRepeatKey,"


def stage(home: Home, files: dict[str, str]) -> Path:
    """Take one delivery of me3 in; returns the folder of its staged tables."""
    inbox = home.inbox / "me3" / "2017-01-01"
    inbox.mkdir(parents=True)
    for name, text in {"ME3_identification_log.csv": LOG, **files}.items():
        (inbox / name).write_text(text, encoding="utf-8")
    centre = centres.load(FOLDER / "me3")
    intake.intake(home, ["me3"])
    delivery = ledger.read(home)[-1]
    land.land(home, centre, delivery)
    staging.stage(centre, home.landed / "me3" / delivery.delivery_id, home.staged / "me3")
    return home.staged / "me3"


def odm(*subjects: str, kind: str = "Snapshot") -> str:
    return HEAD.format(kind) + "".join(subjects) + "</ClinicalData></ODM>"


def subject(number: int, inside: str = "", about: str = "") -> str:
    key = f'SubjectKey="SS_{number}" OpenClinica:StudySubjectID="ME3/{number}" {about}'
    event = '<StudyEventData StudyEventOID="SE_LOG" StudyEventRepeatKey="1"><FormData FormOID="F_COURSE">'
    return (
        f"<SubjectData {key}>" + (f"{event}{inside}</FormData></StudyEventData>" if inside else "") + "</SubjectData>"
    )


def follow_up(items: str, change: str = "Insert", repeat: int = 1) -> str:
    return (
        f'<ItemGroupData ItemGroupOID="IG_FOLLOWUP" ItemGroupRepeatKey="{repeat}" TransactionType="{change}">'
        f"{items}</ItemGroupData>"
    )


def item(oid: str, value: str) -> str:
    return f'<ItemData ItemOID="I_FU_{oid}" Value="{value}" OpenClinica:Note="v"/>'


def blank(oid: str) -> str:
    return f'<ItemData ItemOID="I_FU_{oid}" IsNull="Yes"/>'


def rows(folder: Path, table: str, columns: str, where: str = "true") -> list[tuple[Any, ...]]:
    with duckdb.connect() as con:
        return con.execute(
            f"select {columns} from '{folder / f'{table}.parquet'}' where {where} order by all"
        ).fetchall()


FOLLOWED = "local_id, fudt::varchar, death_dt::varchar, next_therapy_dt::varchar, source_file, source_row"
FIRST = item("LAST", "2016-01-01") + item("DEATH", "2016-02-02") + item("NEXT", "2016-03-03")


def dropped(folder: Path) -> list[tuple[Any, ...]]:
    return rows(folder, "dropped", "source_file, source_row, reason", "source = 'follow_up'")


def test_an_item_group_that_nothing_names_is_asked_with_its_number_and_first_row(tmp_path):
    """A new version of the form names its group anew: no event is read, and somebody must know."""
    events = "".join(
        f'<ItemGroupData ItemGroupOID="IG_AE_V20" ItemGroupRepeatKey="{n}"><ItemData ItemOID="I_AE_TERM" Value="x"/>'
        "</ItemGroupData>"
        for n in (1, 2)
    )
    empty = '<ItemGroupData ItemGroupOID="IG_EMPTY"/>'
    folder = stage(Home(tmp_path), {"a.xml": odm(subject(1, follow_up(FIRST) + empty + events))})
    columns = "field, value_received, source_file, source_row, expected"
    assert rows(folder, "findings", columns, "rule_id = 'structure/not_read'") == [
        ("IG_AE_V20", "2", "a.xml", "3", "an item group that the mapping names")
    ]


def test_changes_to_nothing_are_asked_for(tmp_path):
    alone = stage(Home(tmp_path / "alone"), {"b.xml": odm(subject(1, follow_up(FIRST)), kind="Transactional")})
    columns = "field, value_received, source_file, expected"
    asked = "rule_id = 'structure/changes_without_snapshot'"
    assert rows(alone, "findings", columns, asked) == [("FileType", "Transactional", "b.xml", "a snapshot before it")]
    both = {"a.xml": odm(subject(1, follow_up(FIRST))), "b.xml": odm(subject(2), kind="Transactional")}
    assert rows(stage(Home(tmp_path / "both"), both), "findings", columns, asked) == []


def test_an_update_changes_what_it_states_and_leaves_the_rest(tmp_path):
    """A later date; a date that is blank now; and one that the centre does not know any more."""
    later = follow_up(item("LAST", "2016-09-09") + blank("DEATH") + item("NEXT", "UNK"), "Update")
    files = {
        "a.xml": odm(subject(1, follow_up(FIRST)), subject(2, follow_up(FIRST))),
        "b.xml": odm(
            subject(1, later), subject(2, follow_up(item("LAST", "2016-05-05"), "Upsert")), kind="Transactional"
        ),
    }
    folder = stage(Home(tmp_path), files)
    assert rows(folder, "followup", FOLLOWED) == [
        ("ME3/1", "2016-09-09", None, None, "b.xml", "1"),
        ("ME3/2", "2016-05-05", "2016-02-02", "2016-03-03", "b.xml", "2"),
    ]
    assert dropped(folder) == [("a.xml", "1", "superseded"), ("a.xml", "2", "superseded")]
    assert rows(folder, "findings", "rule_id", "field like 'I_FU%' or rule_id like '%unknown%'") == []


def test_a_removed_record_is_gone_and_one_inserted_after_it_is_new(tmp_path):
    again = follow_up(item("LAST", "2017-07-07"))
    files = {
        "a.xml": odm(subject(1, follow_up(FIRST)), subject(2, follow_up(FIRST))),
        "b.xml": odm(subject(1, follow_up("", "Remove")), subject(2, follow_up("", "Remove")), kind="Transactional"),
        "c.xml": odm(subject(1, again), subject(2, follow_up(FIRST, "Context")), kind="Transactional"),
    }
    folder = stage(Home(tmp_path), files)
    assert rows(folder, "followup", FOLLOWED) == [("ME3/1", "2017-07-07", None, None, "c.xml", "1")]
    removed = [(f"{file}.xml", row, "removed_by_the_centre") for file in "ab" for row in "12"]
    assert dropped(folder) == [*removed, ("c.xml", "2", "context_only")]


def test_changes_of_records_that_are_not_there_are_asked(tmp_path):
    """Beside those that are: a repeat key that nobody sent, one that was removed, a subject that no source knows."""
    changes = [follow_up("", "Remove", 9), follow_up(item("LAST", "2016-04-04"), "Update", 8)]
    changes += [follow_up(item("LAST", "2016-05-05"), "Upsert", 7), follow_up(FIRST, "Context", 6)]
    again = [follow_up("", "Remove"), follow_up("", "Remove"), follow_up(item("LAST", "2016-06-06"), "Update")]
    gone = [subject(n, about='TransactionType="Remove"') for n in (4, 3)]
    sex = '<ItemGroupData ItemGroupOID="IG_DEMOG"><ItemData ItemOID="I_SEX" Value="m"/></ItemGroupData>'
    snapshot = odm(subject(1, follow_up(FIRST)), subject(2, follow_up(FIRST)), subject(3, sex))
    files = {
        "a.xml": snapshot,
        "b.xml": odm(subject(1, "".join(changes)), subject(2, "".join(again)), *gone, kind="Transactional"),
    }
    folder = stage(Home(tmp_path), files)
    told = "usubjid, field, value_received, source_file, source_row, split_part(expected, '; ', 2)"
    taken = "what it states is taken as a new one"
    assert rows(folder, "findings", told, "rule_id = 'structure/unknown_record'") == [
        ("RCC-ME3-001-X", "TransactionType", "Remove", "b.xml", "1", "nothing was removed"),
        ("RCC-ME3-001-X", "TransactionType", "Update", "b.xml", "2", taken),
        ("RCC-ME3-002-X", "TransactionType", "Update", "b.xml", "7", taken),
        (None, "TransactionType", "Remove", "b.xml", "SubjectData!3", "nothing was removed"),
    ]
    assert len(rows(folder, "findings", "distinct record_key", "rule_id = 'structure/unknown_record'")) == 4


def test_a_subject_removed_as_a_whole_takes_all_its_records_with_it(tmp_path):
    sex = '<ItemGroupData ItemGroupOID="IG_DEMOG"><ItemData ItemOID="I_SEX" Value="m"/></ItemGroupData>'
    files = {
        "a.xml": odm(subject(1, follow_up(FIRST) + sex), subject(2, follow_up(FIRST) + sex)),
        "b.xml": odm(subject(1, about='TransactionType="Remove"'), kind="Transactional"),
    }
    folder = stage(Home(tmp_path), files)
    assert rows(folder, "followup", "local_id") == rows(folder, "subjects", "local_id") == [("ME3/2",)]
    assert dropped(folder) == [
        ("a.xml", "1", "removed_by_the_centre"),
        ("b.xml", "SubjectData!1", "removed_by_the_centre"),
    ]


def test_a_withdrawn_subject_is_found_where_only_its_removal_is_left(tmp_path):
    """The others keep their places."""
    source, target = tmp_path / "a.xml", tmp_path / "b.xml"
    gone = subject(1, about='TransactionType="Remove"')
    source.write_text(odm(subject(1, follow_up(FIRST)), gone, subject(2, follow_up(FIRST)), kind="Transactional"))
    for place in ("1", "SubjectData!2"):
        erase_rows.odm(source, [], [place], target)
        text = target.read_text(encoding="utf-8")
        assert "SS_1" not in text and "ME3/1" not in text and text.count("ItemGroupData") == 3
        table = read([("b.xml", target)], {"format": "odm", "item_group": "IG_FOLLOWUP"})
        assert table["source_row"].to_pylist() == ["2"]


def test_the_csv_twins_know_transactions_too(tmp_path):
    names = ("DEMOG", "ELIG", "SURGERY", "LESION", "MEASURE", "RECIST", "PROGRESSION", "EXPOSURE", "AE", "LAB")
    empty = {f"ME3_IG_{name}.csv": TWIN + "TransactionType\n" for name in names}
    key, head = "SS_{0},ME3/{0},SE_LOG,1,F_COURSE,IG_FOLLOWUP,1,", TWIN + "TransactionType,I_FU_LAST,I_FU_DEATH"
    plain = f"{head}\n{key.format(1)}Insert,2016-01-01,2016-02-02\n{key.format(2)}Insert,2016-01-01,\n"
    changes = f"{head},IsNull\n{key.format(1)}Update,2016-09-09,,I_FU_DEATH\nSS_2,ME3/2,,,,,,Remove,,,\n"
    files = {"ME3_IG_FOLLOWUP.csv": plain, "ME3_IG_FOLLOWUP_changes.csv": changes}
    folder = stage(Home(tmp_path), empty | files)
    changed = ("ME3/1", "2016-09-09", None, None, "ME3_IG_FOLLOWUP_changes.csv", "2")
    assert rows(folder, "followup", FOLLOWED) == [changed]
    assert len(dropped(folder)) == 3


def test_a_unit_of_the_file_holds_and_what_is_said_twice_is_asked(tmp_path):
    cm = '<MeasurementUnitRef MeasurementUnitOID="cm"/>'
    sizes = {"a": f'Value="2.5">{cm}', "b": 'Value="34"><Note/>', "c": f'Value="2">{cm.replace("cm", "MU.IN")}'}
    groups = [
        f'<ItemData ItemOID="I_TR_ID" Value="{n}"/><ItemData ItemOID="I_TR_MM" {v}</ItemData>' for n, v in sizes.items()
    ]
    ages = ['<ItemData ItemOID="I_AGE" Value="64"/><ItemData ItemOID="I_AGE" Value="46"/>',
            '<ItemData ItemOID="I_AGE" Value="64" IsNull="Yes"/>']  # fmt: skip
    about = [[("IG_MEASURE", g) for g in groups] + [("IG_DEMOG", ages[0])], [("IG_DEMOG", ages[1])]]
    subjects = [
        subject(n, "".join(f'<ItemGroupData ItemGroupOID="{oid}">{items}</ItemGroupData>' for oid, items in each))
        for n, each in enumerate(about, 1)
    ]
    folder = stage(Home(tmp_path), {"a.xml": odm(*subjects)})
    expected = [("a", "25.000"), ("b", "34.000"), ("c", None)]
    assert rows(folder, "measurements", "lesion_id, diameter_mm::varchar") == expected
    assert rows(folder, "subjects", "age_years") == [(None,), (None,)]
    assert rows(folder, "findings", "field, value_received, source_row", "rule_id = 'structure/unreadable_number'") == [
        ("I_AGE", "64 | 46", "4"), ("I_AGE", "64 | IsNull", "5"), ("I_TR_MM", "2 MU.IN", "3"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("clear cell", "Papillary", "no code of ours"), None),
        (("papillary", "Clear cell", ""), ("1: papillary, 2: Clear cell", "1: clear_cell, 2: papillary")),
        (("a cellule chiare", "papillary", ""), ("1: a cellule chiare", "1: clear_cell")),
    ],
)
def test_a_code_list_that_says_otherwise_than_the_mapping_is_asked_once(tmp_path, words, asked):
    def coded(item: str, *texts: str) -> str:
        listed = "".join(
            f'<CodeListItem CodedValue="{c}"><Decode><TranslatedText>{w}</TranslatedText></Decode></CodeListItem>'
            for c, w in zip(("1", "2", "9"), texts, strict=False)
        )
        ref = f'<ItemDef OID="{item}" Name="x"><CodeListRef CodeListOID="CL_{item}"/></ItemDef>'
        return f'{ref}<CodeList OID="CL_{item}">{listed}</CodeList>'

    lists = f'<Study OID="S"><MetaDataVersion OID="1">{coded("I_HISTO", *words)}</MetaDataVersion></Study>'
    histology = '<ItemGroupData ItemGroupOID="IG_DEMOG"><ItemData ItemOID="I_HISTO" Value="1"/></ItemGroupData>'
    text = odm(subject(1, histology), subject(2, histology)).replace("<ClinicalData", f"{lists}<ClinicalData")
    folder = stage(Home(tmp_path), {"a.xml": text, "b.xml": text.replace("Snapshot", "Transactional")})
    told = "table_name, field, source_file, value_received, expected"
    found = rows(folder, "findings", told, "rule_id = 'structure/code_meaning'")
    assert found == ([("demography", "I_HISTO", "a.xml", *asked)] if asked else [])


def test_flags_are_held_against_their_code_list_and_other_words_may_stand_in_the_map():
    assert _agree("No", "N", {"0": "N", "No": "N"}) and _agree("Local-recurrence", "local_recurrence", {})
    assert not _agree("Yes", "N", {"0": "N", "Yes": "Y"}) and not _agree("N", "Y", {})
    assert {"1": "Y", "0": "N"} in _coded(centres.load(FOLDER / "me3"), "eligibility")["I_IE_ANSWER"]


def test_a_partial_date_is_asked_for_and_no_day_invented(tmp_path):
    folder = stage(Home(tmp_path), {"a.xml": odm(subject(1, follow_up(item("LAST", "2014-03"))))})
    assert rows(folder, "followup", "local_id, fudt") == [("ME3/1", None)]
    asked = rows(folder, "findings", "rule_id, field, value_received, source_file, source_row", "local_id is not null")
    assert asked == [("structure/partial_date", "I_FU_LAST", "2014-03", "a.xml", "1")]
    bounds = rows(folder, "partial_dates", "precision, lower_dt::varchar, upper_dt::varchar")
    assert bounds == [("month", "2014-03-01", "2014-03-31")]


def test_a_broken_transactional_file_rejects_the_delivery_once(tmp_path):
    files = {"a.xml": odm(subject(1, follow_up(FIRST))), "b.xml": odm(subject(1), kind="Transactional")[:-9]}
    with pytest.raises(DeliveryRejected) as error:
        stage(Home(tmp_path), files)
    assert [(p.source_file, p.expected) for p in error.value.problems] == [("b.xml", "well-formed XML")]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The reference study's delivery of me3, staged, in the ODM version it has and in 2.0."""
    units = {e["unit"]: e["centre"] for e in map(study.read_yaml, sorted(FOLDER.glob("[!_]*/export.yaml")))}
    found = {}
    with warehouse.memory() as con:
        truth.build(con, COHORT / "cohort.csv", COHORT / "lesions.csv", 1, units)
        for version in ("1.3.2", "2.0"):
            out = tmp_path_factory.mktemp("odm")
            raw = study.read_yaml(FOLDER / "me3" / "export.yaml")
            for file in (f for f in raw["files"] if f["format"] == "odm"):
                file["write"]["version"] = version
            export = out / "me3" / "export.yaml"
            export.parent.mkdir()
            export.write_text(yaml.safe_dump(raw, allow_unicode=True, sort_keys=False), encoding="utf-8")
            render.render(con, export, out, False)
            (delivery,) = (out / "inbox" / "me3").iterdir()
            texts = {path.name: path.read_text(encoding="utf-8") for path in delivery.glob("ME3_*")}
            assert f'ODMVersion="{version}"' in texts["ME3_snapshot.xml"]
            assert ("<FormData" in texts["ME3_snapshot.xml"]) == (version == "1.3.2")
            found[version] = stage(Home(out / "home"), texts)
    return found


@pytest.mark.parametrize("table", sorted(centres.load(FOLDER / "me3").tables))
def test_odm_2_becomes_the_same_tables(both, table):
    """`test_staged_equals_truth` compares those of 1.3.2 with the truth."""
    columns = ", ".join(c for c in study.staged_columns(table) if c not in study.PROVENANCE)
    expected = rows(both["1.3.2"], table, columns)
    assert expected and rows(both["2.0"], table, columns) == expected


def test_the_rendered_delivery_inserts_updates_and_removes(both):
    for folder in both.values():
        reasons = {reason for (reason,) in rows(folder, "dropped", "reason")}
        assert reasons == {"removed_by_the_centre", "superseded"}
        asked = "rule_id in ('structure/code_meaning', 'structure/unknown_record')"
        assert rows(folder, "findings", "field", asked) == []
        assert rows(folder, "surgeries", "local_id", "source_file = 'ME3_transactions.xml'")
