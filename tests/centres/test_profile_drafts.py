"""A first mapping from each format's export: the seven centres' own mappings say what should have been guessed."""

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from pipelines import centres, study
from pipelines.mapping import Centre
from pipelines.orchestration.take_in import stop_rules
from pipelines.profile.check import Checked, check
from pipelines.profile.new import new
from pipelines.profile.seen import words
from pipelines.readers.read import read
from pipelines.simulate.simulate import simulate

KNOWN = centres.load_all(study.ROOT / "centres")
FORMATS = {"me2": "xlsx", "me3": "odm", "rt3": "dicom", "rt4": "fhir"}  # of which the first has two header rows
DAY = re.compile(r"(19|20)\d\d-?(0[1-9]|1[0-2])-?[0-3]\d|\d{2}/\d{2}/\d{2,4}")
ADDRESS = re.compile(r"(?<=\(')[^']+(?=')")
Drafts = Mapping[tuple[str, bool], Centre]
Reads = dict[tuple[str, str], frozenset[str]]


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """An invented delivery of each centre."""
    out = tmp_path_factory.mktemp("exports")
    simulate(out, patients=90, seed=5)
    return {folder.name: next(folder.iterdir()) for folder in (out / "inbox").iterdir()}


@pytest.fixture(scope="module")
def drafts(exports: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Drafts:
    """(centre, whether such a centre is known already) -> its draft."""
    found = {}
    for name in FORMATS:
        for is_known in (True, False):
            into = tmp_path_factory.mktemp(name)
            others = {k: c for k, c in KNOWN.items() if is_known or k != name}
            new(name, [exports[name]], into, others)
            found[name, is_known] = centres.load(into / name)
    return found


def reads(centre: Centre) -> Reads:
    """Staged column -> the raw ones that it is read from."""
    found: dict[tuple[str, str], set[str]] = {}
    for table, parts in centre.tables.items():
        for f in (f for p in parts for f in p.fields if not f.name.startswith("_")):
            found.setdefault((table, f.name), set()).update(f.columns)
    return {key: frozenset(columns) for key, columns in found.items()}


# what is left to the person who edits the draft, where a centre that writes alike is known already
LEFT = {
    # each criterion is a column of its own, and the visit is called otherwise
    "me2": {("criteria", "local_id"), ("criteria", "ietestcd"), ("criteria", "ieorres"), ("measurements", "visitnum")},
    "me3": set(),
    # of another file
    "rt3": {("courses", "technique")},
    "rt4": {("targets", "technique")},
}


@pytest.mark.parametrize("name", FORMATS)
def test_where_a_like_centre_is_known_the_draft_reads_what_the_finished_mapping_reads(
    drafts: Drafts, name: str
) -> None:
    drafted, finished = reads(drafts[name, True]), reads(KNOWN[name])
    assert {key for key, columns in finished.items() if drafted.get(key) != columns} == LEFT[name]


@pytest.mark.parametrize("name", ["me3", "rt3", "rt4"])
def test_the_export_becomes_the_same_tables_by_the_draft_as_by_the_finished_mapping(
    drafts: Drafts, exports: Mapping[str, Path], name: str
) -> None:
    """As many rows, with as many filled cells: transactions, versions, plans and doses are read as they must be."""
    drafted, finished = (check(c, exports[name], stop_rules) for c in (drafts[name, True], KNOWN[name]))
    left = {column for _, column in LEFT[name]}

    def counted(found: Checked) -> dict[str, tuple[int, dict[str, int]]]:
        return {t: (n, {c: k for c, k in cells.items() if c not in left}) for t, (n, cells) in found.tables.items()}

    assert counted(drafted) == counted(finished)
    assert (drafted.rejected, drafted.findings, drafted.codes) == ([], [], [])


# what is guessed without any centre that writes alike: all that the format itself says, and what has a usual name
FOUND = {
    "me2": {
        "lesions": {"local_id", "lesion_id", "lesion_role", "anatomic_site", "measurable_fl", "tudt"},
        "measurements": {"local_id", "lesion_id", "trdt", "diameter_mm", "lesion_state", "method"},
        "links": {"local_id", "usubjid", "sex", "birth_year"},
    },
    "me3": {
        "adverse_events": {"local_id", "aedecod", "aetoxgr", "aestdt", "aeendt", "aerel", "aeout"},
        "labs": {"local_id", "lbtestcd", "lbdt", "lbstresn", "lbstresu", "lbstnrlo", "lbstnrhi"},
        "subjects": {"local_id", "sex", "age_years", "histology", "ecog"},
        "links": {"local_id", "usubjid", "sex", "birth_year"},
    },
    "rt3": {
        "courses": {"local_id", "course_id", "planned_dose_gy", "planned_fractions"},
        "fractions": {"local_id", "course_id", "fraction_no", "fxdt", "dose_gy", "fraction_status"},
        "targets": {"local_id", "target_id", "course_id", "anatomic_site", "technique", "lesion_label"},
        "links": {"local_id", "usubjid", "sex", "birth_year"},
    },
    # columns of resources have names of ours: see the next test
    "rt4": {
        "restagings": {"local_id", "target_id", "rsdt", "restaging_fl", "response", "method", "isodose_pct"},
        "links": {"local_id", "usubjid", "sex", "birth_year"},
    },
}


@pytest.mark.parametrize("name", FORMATS)
def test_much_is_guessed_of_a_format_that_no_centre_has_sent_before(drafts: Drafts, name: str) -> None:
    drafted, finished = reads(drafts[name, False]), reads(KNOWN[name])
    wanted = {(table, field) for table, fields in FOUND[name].items() for field in fields}
    assert {key for key in wanted if drafted.get(key) != finished[key]} == set()


def test_paths_of_resources_are_found_without_a_like_centre(drafts: Drafts) -> None:
    """A path may have a longer address than the finished mapping's; the cells are the same, and so are their fields."""
    fields = {
        "courses": ("course_id", "delivered_dose_gy", "delivered_fractions", "planned_dose_gy", "planned_fractions",
                    "rtstdt", "rtendt"),
        "targets": ("target_id", "course_id", "anatomic_site", "lesion_label"),
        "adverse_events": ("aedecod", "aetoxgr", "aestdt", "aeendt", "aerel", "aeout"),
    }  # fmt: skip

    def path(centre: Centre, table: str, field: str) -> str:
        part = centre.tables[table][0]
        sources = [part.source, *(look["source"] for look in part.lookups)]
        known = {c: p for s in reversed(sources) for c, p in centre.sources[s].read["columns"].items()}
        return str(known[next(f.columns[0] for f in part.fields if f.name == field)])

    for table, names in fields.items():
        for field in names:
            mine, theirs = (path(c, table, field) for c in (drafts["rt4", False], KNOWN["rt4"]))
            assert ADDRESS.sub("", mine) == ADDRESS.sub("", theirs)
            pairs = zip(ADDRESS.findall(mine), ADDRESS.findall(theirs), strict=True)
            assert all(long.endswith(short) for long, short in pairs), (mine, theirs)
    doses = {f.name: f.spec for f in drafts["rt4", False].tables["courses"][0].fields}
    assert doses["delivered_dose_gy"]["unit_from"] == "totalDoseDelivered_unit"
    assert doses["planned_dose_gy"]["unit_from"] == "totalDose_unit"


@pytest.mark.parametrize("is_known", [True, False])
def test_the_format_itself_is_read_as_the_finished_mapping_reads_it(
    drafts: Drafts, exports: Mapping[str, Path], is_known: bool
) -> None:
    odm, finished = drafts["me3", is_known].sources, KNOWN["me3"].sources
    groups = {s.read["item_group"]: s for s in odm.values() if s.read["format"] == "odm"}
    assert groups.keys() == {s.read["item_group"] for s in finished.values() if s.read["format"] == "odm"}
    for s in (s for s in finished.values() if s.read["format"] == "odm"):
        drafted = groups[s.read["item_group"]]
        assert (drafted.files, drafted.key, drafted.transactions) == (s.files, s.key, s.transactions)
    for name in ("plans", "records"):
        dicom, own = drafts["rt3", is_known].sources[name], KNOWN["rt3"].sources[name]
        assert (dicom.files, dicom.read, dicom.drop_rows) == (own.files, own.read, own.drop_rows)
        assert (dicom.one_content, dicom.ignore) == (own.one_content, own.ignore)
    fhir = [s for s in drafts["rt4", is_known].sources.values() if s.read["format"] == "fhir"]
    assert all(s.current_row["take"] == {"version": "max"} for s in fhir)
    for s in (s for s in KNOWN["rt4"].sources.values() if s.read["format"] == "fhir"):
        wanted = s.read["resource"], s.read.get("profile", "")
        assert any(d.read["resource"] == wanted[0] and d.read["profile"].endswith(wanted[1]) for d in fhir), wanted
    (book,) = exports["me2"].glob("*.xlsx")
    sheet, own = (c.sources["lesioni"].read for c in (drafts["me2", is_known], KNOWN["me2"]))
    assert read([("a", book)], sheet).equals(read([("a", book)], own))


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_no_value_of_the_export_is_written(
    drafts: Drafts, exports: Mapping[str, Path], name: str, is_known: bool
) -> None:
    """Ids of any kind, days, study codes and free texts: none stands in the draft or in its sample."""
    centre = drafts[name, is_known]
    secret, dated = set(), {}
    for source, cells in landed(KNOWN[name], exports[name]).items():
        for (table, field), columns in reads(KNOWN[name]).items():
            if any(p.source == source for p in KNOWN[name].tables[table]):
                texts = {v for c in columns for v in cells.get(c, ())}
                if field in ("local_id", "usubjid"):
                    secret |= texts
        for own in ("SOPInstanceUID", "SubjectKey", "id"):
            secret |= cells.get(own, set())
    secret -= set(words()["footers"])  # a total stands where an id does
    assert len(secret) > 20
    written = everything(centre.folder)
    assert [v for v in secret if v in written] == []
    # a day of one column may be invented for another; none of its own is
    for part in ("export", "sample"):
        folder = exports[name] if part == "export" else centre.folder / "sample"
        for source, cells in landed(centre, folder).items():
            for column, texts in cells.items():
                days = {t for t in texts if DAY.fullmatch(t)}
                if days and part == "export":
                    dated[source, column] = days
                else:
                    assert not days & dated.get((source, column), set()), (source, column)
    assert dated


def landed(centre: Centre, folder: Path) -> dict[str, dict[str, set[str]]]:
    """Source -> column -> its texts, as the readers read them."""
    found = {}
    for name, source in centre.sources.items():
        globs = [source.files] if isinstance(source.files, str) else source.files
        files = [(p.name, p) for g in globs for p in sorted(folder.rglob(g))]
        if files:
            rows = read(files, source.read)
            found[name] = {c: {v for v in rows[c].to_pylist() if v} for c in rows.column_names}
    return found


def everything(folder: Path) -> str:
    """All that was written, and the names of the files; workbooks by their cells."""
    found = []
    for path in (p for p in sorted(folder.rglob("*")) if p.is_file()):
        found.append(path.name)
        if path.suffix == ".xlsx":
            with zipfile.ZipFile(path) as book:
                found += [book.read(n).decode() for n in book.namelist()]
        else:
            found.append(path.read_bytes().decode("latin-1"))
    return "\n".join(found)


@pytest.mark.parametrize("name", FORMATS)
def test_the_invented_sample_goes_through_its_own_draft(drafts: Drafts, name: str) -> None:
    """Its format is read as the export's; open are the questions, columns that nobody mapped, and codes."""
    for is_known in (True, False):
        centre = drafts[name, is_known]
        found = check(centre, centre.folder / "sample", stop_rules)
        assert (found.rejected, found.findings, found.unread) == ([], [], [])
        assert found.questions
        assert {t for t, (n, _) in found.tables.items() if n} == centre.tables.keys()
        assert found.codes == [] or not is_known
    formats = {s.read["format"] for s in drafts[name, True].sources.values()}
    assert formats - {"csv"} == {FORMATS[name]}
