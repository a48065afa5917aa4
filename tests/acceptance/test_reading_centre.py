"""docs/how-to/independent-readers.md: its centre reads the reference study, and only what is about readers changes."""

import re
import shutil
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from pipelines import centres, study
from pipelines.deliveries.intake import intake
from pipelines.orchestration.take_in import take_in
from pipelines.reports.study_report import write_study
from pipelines.warehouse import Home, open_read
from tests.acceptance import line

pytestmark = pytest.mark.long
PAGE = study.ROOT / "docs" / "how-to" / "independent-readers.md"
NAME = "cr1"
SITES = """'Kidney', 'Bone', 'Lymph node', 'Lung', 'Brain', 'Liver', 'Pleura', 'Skin', 'Kidney bed'"""
CODES = """'kidney', 'bone', 'node', 'lung', 'brain', 'liver', 'pleura', 'skin', 'local_recurrence'"""
# the first reader sees what the centres see, under other labels; the second nothing new and nothing grown at me3
READERS = """
    create temp table subject as
    select usubjid, siteid, row_number() over (order by usubjid) + 500 as no from harmonised.subjects;
    create temp table reader as from (values ('RADIOLOGIST 1'), ('RADIOLOGIST 2')) t(reader);
    create temp table is_blind as
    select reader, usubjid, reader = 'RADIOLOGIST 2' and siteid = 'me3' as blind from reader, subject;
"""
FILES = {
    "SUBJECTS": """select no as "Reading no.", usubjid as "Study code" from subject order by all""",
    "LESIONS": f"""
        select no as "Reading no.", reader as "Reader", 'R' || lesion_id as "Lesion",
            case lesion_role when 'target' then 'T' when 'non_target' then 'NT' else 'NEW' end as "Role",
            list_extract([{SITES}], list_position([{CODES}], anatomic_site)) as "Organ",
            case measurable_fl when 'Y' then 1 when 'N' then 0 end as "Measurable"
        from harmonised.lesions join subject using (usubjid) join is_blind using (usubjid)
        where not (blind and lesion_role = 'new')
        order by all""",
    "SIZES": """
        select no as "Reading no.", reader as "Reader", 'R' || lesion_id as "Lesion",
            visitnum as "Visit", trdt as "Date",
            case when blind then first_value(diameter_mm) over looks else diameter_mm end as "mm",
            case case when blind then first_value(lesion_state) over looks else lesion_state end
                when 'too_small' then 'too small' when 'not_assessed' then 'not done'
                when 'unequivocal_progression' then 'progression'
                when 'unequivocal' then 'new' when 'equivocal' then 'new?'
                when 'present' then 'present' when 'absent' then 'absent' end as "State",
            case method when 'ct' then 'CT' when 'mri' then 'MRI' when 'bone_scan' then 'bone scan'
                when 'xray' then 'X-ray'
                when 'pet_ct' then 'PET-CT' else method end as "Method"
        from harmonised.measurements join subject using (usubjid) join is_blind using (usubjid)
        join (select usubjid, lesion_id, lesion_role from harmonised.lesions) using (usubjid, lesion_id)
        where not (blind and lesion_role = 'new')
        window looks as (partition by reader, usubjid, lesion_id order by visitnum)
        order by all""",
}


@pytest.fixture(scope="module")
def read_home(demo_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The reference study with a delivery of the page's centre, taken in, and every table made."""
    root = tmp_path_factory.mktemp("read")
    folder = root / "centres" / NAME
    folder.mkdir(parents=True)
    for path in line.CENTRES.glob("[!_]*/centre.yaml"):
        shutil.copytree(path.parent, root / "centres" / path.parent.name, ignore=shutil.ignore_patterns("sample"))
    (mapping,) = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (folder / "centre.yaml").write_text(mapping, encoding="utf-8")
    home = Home(root / "home")
    shutil.copytree(demo_home / "staged", home.staged)
    inbox = home.inbox / NAME / "2017-01-01"
    inbox.mkdir(parents=True)
    with closing(open_read(Home(demo_home))) as con:
        con.execute(READERS)
        for name, query in FILES.items():
            con.execute(f"copy ({query}) to '{inbox / f'{name}.csv'}' (header)")
    done = take_in(home, centres.load(folder), tuple(intake(home, [NAME])), "v1")
    assert not done.rejected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line, "CENTRES", root / "centres")
        with closing(line.open_study(home)) as con:
            line.make(con)
            write_study(con, home)
    return home


@pytest.fixture(scope="module")
def con(read_home: Home, demo_home: Path) -> duckdb.DuckDBPyConnection:
    """The study with the readers, and `plain`, the one without."""
    con = open_read(read_home)
    con.execute(f"attach '{Home(demo_home).database}' as plain (read_only)")
    return con


def test_nothing_else_changes(con: duckdb.DuckDBPyConnection) -> None:
    """No response, endpoint or table of the study rests on a reader."""
    schemas = ("assessed.", "derived.", "reports.")
    names = [n for n in study.tables() if n.startswith(schemas) and "reader" not in n and n != "reports.exact_limits"]
    assert len(names) > 50
    query = "(from {0} {1} except all from plain.{0}) union all (from plain.{0} except all from {0} {1})"
    # what is listed by centre has lines about the reading centre, too
    by_centre = {n for n in names if "centre" in {c.name for c in study.tables()[n].columns}}
    others = "where centre is distinct from 'cr1'"
    different = [n for n in names if con.execute(query.format(n, others if n in by_centre else "")).fetchall()]
    assert different == []
    readers = "select count(*) from plain.assessed.adrs_readers"
    assert con.execute(readers).fetchall() == [(0,)]


def test_every_subject_is_read_and_linked(con: duckdb.DuckDBPyConnection) -> None:
    n_subjects = con.execute("select count(*) from harmonised.subjects").fetchall()
    states = "select count(*) from harmonised.links where centre = 'cr1' and link_state = 'linked'"
    assert con.execute(states).fetchall() == n_subjects
    assert con.execute("""
        select rule_id, count(*) from validated.findings where centre = 'cr1' group by all
    """).fetchall() == []  # fmt: skip


def test_a_reader_who_sees_the_same_agrees_and_one_who_sees_less_does_not(con: duckdb.DuckDBPyConnection) -> None:
    n_all, n_blind = con.execute("""
        select count(*), count(*) filter (siteid = 'me3') from derived.adsl
        where eligible_fl = 'Y' and oligodt is not null
    """).fetchall()[0]
    assert 0 < n_blind < n_all == 28
    rows = con.execute("""
        select evalid, n, n_agree, n_centre_only, n_reader_only, early_discrepancy_pct, late_discrepancy_pct
        from reports.reader_discordance where paramcd = 'PD' order by evalid
    """).fetchall()
    assert rows == [
        ("RADIOLOGIST 1", 28, 28, 0, 0, 0, None),
        ("RADIOLOGIST 2", 28, 28 - n_blind, n_blind, 0, pytest.approx(100 * n_blind / 28), 0),
    ]
    agreed = con.execute("""
        select evalid, count(*), bool_and(n > 0), bool_and(n = n_agree), min(kappa), sum(n_centre_only + n_reader_only)
        from reports.reader_discordance where paramcd <> 'PD' group by evalid order by evalid
    """).fetchall()
    assert agreed[0] == ("RADIOLOGIST 1", 6, True, True, 1, 0)
    assert agreed[1][:4] == ("RADIOLOGIST 2", 6, True, False) and agreed[1][4] < 1


def test_the_report_has_a_section_where_there_are_readers(read_home: Home, demo_home: Path) -> None:
    pages = [(home / "reports" / "study" / "report.html").read_text("utf-8") for home in (read_home.root, demo_home)]
    assert ["Independent readers" in page for page in pages] == [True, False]
    assert "RADIOLOGIST 2" in pages[0]
    for name in ("reader_discordance.csv", "reader_pairs.csv"):
        assert (read_home.reports / "study" / name).is_file()
        assert not (demo_home / "reports" / "study" / name).exists()
