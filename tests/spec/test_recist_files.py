"""`restage recist`: files in the shape of SDTM in, RS out. Every subject is invented."""

import csv
import itertools
from pathlib import Path
from typing import Any

import pandas as pd
import pyreadstat
import pytest
import yaml

from pipelines import study
from pipelines.errors import UsageError
from pipelines.recist.run import run
from tests.conftest import Restage

EXAMPLE = study.ROOT / "examples" / "recist"
TU = ["USUBJID", "TULNKID", "TUORRES", "TULOC", "VISITNUM", "TUDTC"]
TR = ["USUBJID", "TRLNKID", "TRTESTCD", "TRSTRESN", "TRSTRESC", "TRSTAT", "VISITNUM", "TRDTC"]
DAYS = ("2014-01-01", "2014-03-01", "2014-05-01", "2014-07-01")
LIVER = [["A", "T1", "TARGET", "LIVER", 0, DAYS[0]]]
Rows = list[list[Any]]


def sized(mm: float | str, visit: int, lesion: str = "T1", subject: str = "A") -> list[Any]:
    return [subject, lesion, "LDIAM", mm, mm, "", visit, DAYS[visit]]


def write(path: Path, columns: list[str], rows: Rows) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([columns, *rows])
    return path


def assess(
    folder: Path, tu: Rows, tr: Rows, tu_columns: list[str] = TU, tr_columns: list[str] = TR, **options: Any
) -> Rows:
    """Rows of RS without the header; what was rejected lies beside it."""
    chosen = None
    if options:
        chosen = folder / "options.yaml"
        chosen.write_text(yaml.safe_dump(options), encoding="utf-8")
    run(write(folder / "tu.csv", tu_columns, tu), write(folder / "tr.csv", tr_columns, tr), folder / "rs.csv", chosen)
    return read(folder / "rs.csv")


def read(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


def rejected(folder: Path) -> list[tuple[str, str, str]]:
    return [tuple(row) for row in read(folder / "rs.csv.rejected.csv")]  # type: ignore[misc]


def overall(rows: Rows) -> list[str]:
    return [row[-2] for row in rows if row[-3] == "OVRLRESP"]


def test_the_example_is_what_the_page_shows(tmp_path: Path, restage: Restage) -> None:
    """The how-to shows these files whole; the command exits with 0 although a record was rejected."""
    done = restage(
        "recist", "--tumours", EXAMPLE / "tu.csv", "--measurements", EXAMPLE / "tr.csv", "--out", tmp_path / "rs.csv"
    )
    assert done.returncode == 0, done.stderr
    for name in ("rs.csv", "rs.csv.rejected.csv"):
        assert (tmp_path / name).read_bytes() == (EXAMPLE / name).read_bytes()


def test_a_screening_that_lists_lesions_and_measures_none_is_no_baseline(tmp_path: Path) -> None:
    """Else every sum after it would have no baseline to compare with; day 0 is that of the first measurement."""
    tu = [*LIVER, ["A", "N1", "NON-TARGET", "BONE", 0, DAYS[0]]]
    state = ["A", "N1", "TUMSTATE", "", "PRESENT", "", 2, DAYS[2]]
    rows = assess(tmp_path, tu, [sized(30, 1), [*state[:6], 1, DAYS[1]], sized(18, 2), state])
    assert [(row[-5], row[-2]) for row in rows if row[-3] == "OVRLRESP"] == [("2", "PR")]
    assert rejected(tmp_path) == []


def test_columns_and_order(tmp_path: Path) -> None:
    rows = assess(
        tmp_path,
        [["B", *LIVER[0][1:]], *LIVER],
        [sized(30, 0), sized(20, 1), sized(30, 0, subject="B"), sized(20, 1, subject="B")],
    )
    header = (tmp_path / "rs.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header == "USUBJID,VISITNUM,RSDTC,RSTESTCD,RSSTRESC,RSREASON"
    places = [("1", t) for t in ("NEWLPROG", "NTRGRESP", "OVRLRESP", "TRGRESP")] + [("", "BESTRESP"), ("", "CBRESP")]
    assert [(r[0], r[1], r[3]) for r in rows] == [(s, v, t) for s in "AB" for v, t in places]
    assert rows[3][2:] == [
        DAYS[1],
        "TRGRESP",
        "PR",
        "sum 20.0, nadir 30.0 on 2014-01-01: -10.0 mm, -33.3 %; baseline 30.0",
    ]
    assert rows[4][1:5] == ["", DAYS[1], "BESTRESP", "PR"]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (["", "T1", "LDIAM", 20, 20, "", 1, DAYS[1]], "USUBJID is empty"),
        (["A", "", "LDIAM", 20, 20, "", 1, DAYS[1]], "TRLNKID is empty"),
        (["A", "T9", "LDIAM", 20, 20, "", 1, DAYS[1]], "no record of the tumours file identifies this lesion"),
        (["A", "T1", "SUMDIAM", 20, 20, "", 1, DAYS[1]], "TRTESTCD: only LDIAM, LPERP, TUMSTATE and LNSTATE are read"),
        (["A", "T1", "LDIAM", "2O", 20, "", 1, DAYS[1]], "TRSTRESN is not a number"),
        (["A", "T1", "LDIAM", -1, -1, "", 1, DAYS[1]], "TRSTRESN: millimetres are expected, not negative"),
        (
            ["A", "T1", "LDIAM", 1e6, 1e6, "", 1, DAYS[1]],
            "TRSTRESN: millimetres are expected, and no lesion is that large",
        ),
        (["A", "T1", "LDIAM", "", "", "", 1, DAYS[1]], "neither TRSTRESN nor TRSTRESC holds a result"),
        (["A", "T1", "TUMSTATE", "", "SHRUNK", "", 1, DAYS[1]], "TRSTRESC is no state that is read"),
        (["A", "T1", "LDIAM", 20, 20, "NOT DONE", 1, DAYS[1]], "TRSTAT is NOT DONE, and there is a result"),
        (["A", "T1", "LDIAM", 20, 20, "", "one", DAYS[1]], "VISITNUM is not a number"),
        (["A", "T1", "LDIAM", 20, 20, "", "", "2014-03-09"], "VISITNUM is empty, and no other record has this date"),
        (["A", "T1", "LDIAM", 20, 20, "", 1, "2014-03"], "TRDTC: a complete ISO 8601 date is expected"),
        (["A", "T1", "LDIAM", 20, 20, "", 1, "2014-02-30"], "TRDTC: a complete ISO 8601 date is expected"),
        (["A", "T1", "LPERP", 20, 20, "", 1, DAYS[1]], "a lesion is measured by its long axis (LDIAM)"),
        (["A", "T2", "LDIAM", 20, 20, "", 1, DAYS[1]], "a lymph node is measured by its short axis (LPERP)"),
        (["A", "T1", "LDIAM"], "3 cells where the header has 8"),
    ],
)
def test_a_bad_record_is_listed_and_the_rest_assessed(tmp_path: Path, record: list[Any], reason: str) -> None:
    tu = [*LIVER, ["A", "T2", "TARGET", "LYMPH NODE", 0, DAYS[0]]]
    node = ["A", "T2", "LPERP", 20, 20, "", 0, DAYS[0]]
    rows = assess(tmp_path, tu, [sized(30, 0), node, record, sized(60, 2)])
    assert rejected(tmp_path) == [("tr.csv", "4", reason)]
    assert overall(rows)[-1] == "PD"


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (["", "T9", "TARGET", "LIVER", 0, DAYS[0]], "USUBJID is empty"),
        (["A", "", "TARGET", "LIVER", 0, DAYS[0]], "TULNKID is empty"),
        (["A", "T9", "TARGETS", "LIVER", 0, DAYS[0]], "TUORRES: TARGET, NON-TARGET or NEW is expected"),
        (["A", "T9", "TARGET", "LIVER", "base", DAYS[0]], "VISITNUM is not a number"),
        (["A", "T9", "TARGET", "LIVER", 0, "1/1/2014"], "TUDTC is not an ISO 8601 date"),
        (["A", "T9", "TARGET", "LIVER", 0, "2014-02-30"], "TUDTC is no day of the calendar"),
        (["A", "T1", "NEW", "LIVER", 1, DAYS[1]], "TUORRES differs from the first record of this lesion"),
    ],
)
def test_a_bad_tumour_is_listed_and_the_rest_assessed(tmp_path: Path, record: list[Any], reason: str) -> None:
    rows = assess(tmp_path, [*LIVER, record], [sized(30, 0), sized(20, 1)])
    assert rejected(tmp_path) == [("tu.csv", "3", reason)]
    assert overall(rows) == ["PR"]


def test_source_row_is_the_first_physical_line(tmp_path: Path) -> None:
    """A quoted line break and a blank line before the bad record."""
    tu = write(tmp_path / "tu.csv", TU, LIVER)
    head = ",".join([*TR, "NOTE"])
    text = f'{head}\nA,T1,LDIAM,30,30,,0,{DAYS[0]},"two\nlines"\n\n'
    text += f"A,T1,LDIAM,x,,,1,{DAYS[1]},\nA,T1,LDIAM,20,20,,1,{DAYS[1]},\n"
    (tmp_path / "tr.csv").write_text(text, encoding="utf-8")
    made = run(tu, tmp_path / "tr.csv", tmp_path / "rs.csv")
    assert rejected(tmp_path) == [("tr.csv", "5", "TRSTRESN is not a number")]
    assert made == {"subjects": 1, "responses": 6, "rejected": 1}


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    write(tmp_path / "tu.csv", TU, LIVER)
    write(tmp_path / "tr.csv", TR, [sized(30, 0), sized("x", 1), sized(20, 2)])
    for name in ("tu.csv", "tr.csv"):
        path = tmp_path / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    run(tmp_path / "tu.csv", tmp_path / "tr.csv", tmp_path / "rs.csv")
    assert overall(read(tmp_path / "rs.csv")) == ["NE", "PR"]
    assert rejected(tmp_path) == [("tr.csv", "3", "TRSTRESN is not a number")]


def test_nodes_by_tuloc_and_their_short_axis(tmp_path: Path) -> None:
    tu = [["A", "T1", "TARGET", "Lymph node, axillary", 0, DAYS[0]]]
    tr = [
        [*r[:2], axis, *r[3:]] for r, axis in ((sized(22, 0), "LPERP"), (sized(40, 0), "LDIAM"), (sized(9, 1), "LPERP"))
    ]
    rows = assess(tmp_path, tu, tr)
    assert overall(rows) == ["CR"]
    assert rejected(tmp_path) == []


def test_laterality_is_no_other_organ(tmp_path: Path) -> None:
    """Three lesions of the lungs: only two are targets (RECIST 1.1, 3.2)."""
    tu = [["A", f"T{n}", "TARGET", place, 0, DAYS[0]] for n, place in enumerate(("LUNG, LEFT", "LUNG, RIGHT", "LUNG"))]
    tr = [sized(20 + n, visit, f"T{n}") for n in range(3) for visit in (0, 1)]
    reason = next(r[-1] for r in assess(tmp_path, tu, tr) if r[-3] == "TRGRESP")
    assert reason.startswith("sum 43.0")


def test_what_tu_identifies_and_tr_is_silent_about_was_seen(tmp_path: Path) -> None:
    tu = [*LIVER, ["A", "N1", "NEW", "BRAIN", 1, DAYS[1]], ["A", "NT1", "NON-TARGET", "BONE", 0, DAYS[0]]]
    rows = assess(tmp_path, tu, [sized(30, 0), sized(30, 1)])
    assert overall(rows) == ["PD"]
    assert [r[-2] for r in rows if r[-3] == "NTRGRESP"] == ["NE"]


def test_what_tu_identifies_again_was_seen_again(tmp_path: Path) -> None:
    """Doubtful at first, and listed again without a word of doubt: it dates from its first sight."""
    tu = [*LIVER, *(["A", "N1", "NEW", "BRAIN", visit, DAYS[visit]] for visit in (1, 2))]
    doubt = ["A", "N1", "TUMSTATE", "", "EQUIVOCAL", "", 1, DAYS[1]]
    assert overall(assess(tmp_path, tu, [sized(30, 0), sized(30, 1), doubt, sized(30, 2)])) == ["PD", "PD"]


@pytest.mark.parametrize("role", ["TARGET", "NON-TARGET"])
@pytest.mark.parametrize(
    "record",
    [
        ["A", "T2", "LDIAM", "20,5", "20,5", "", 0, DAYS[0]],
        ["A", "T2", "TUMSTATE", "", "NOT EVALUABLE", "", 0, DAYS[0]],
        ["A", "T2", "LDIAM", 20, 20, "", 0, "06JAN2014"],
        ["A", "T2", "LDIAM", 20, 20, "", "base", DAYS[0]],
    ],
)
def test_a_lesion_whose_baseline_cannot_be_read_is_not_new(tmp_path: Path, role: str, record: list[Any]) -> None:
    tu = [*LIVER, ["A", "T2", role, "BRAIN", 0, DAYS[0]]]
    rows = assess(tmp_path, tu, [sized(30, 0), record, sized(30, 1), sized(20, 1, "T2")])
    assert len(rejected(tmp_path)) == 1 and overall(rows) == ["SD"]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        # new lesions need not be measured
        (["A", "N1", "LDIAM", "", "", "NOT DONE", 1, DAYS[1]], "PD"),
        (["A", "N1", "TUMSTATE", "", "PROBABLE", "", 1, DAYS[1]], "SD"),
        (["A", "N1", "LDIAM", "20,5", "20,5", "", 1, DAYS[1]], "SD"),
    ],
)
def test_what_tr_says_of_a_new_lesion_beside_tu(tmp_path: Path, record: list[Any], expected: str) -> None:
    tu = [*LIVER, ["A", "N1", "NEW", "BRAIN", 1, DAYS[1]]]
    rows = assess(tmp_path, tu, [sized(30, 0), sized(30, 1), record])
    assert overall(rows) == [expected]
    (said,) = [row[-1] for row in rows if row[-3] == "NEWLPROG"]
    assert said == "N1 (BRAIN) is new" if expected == "PD" else said.endswith("may be new: not stated as unequivocal")


def test_visits_of_one_day_are_one_assessment(tmp_path: Path) -> None:
    """A bone scan has a number of its own; TU may count from another visit than TR."""
    tu = [*LIVER, ["A", "T2", "TARGET", "LUNG", -1, DAYS[0]]]
    second = [["A", "T2", "LDIAM", mm, mm, "", f"{visit}.1", DAYS[visit]] for visit, mm in enumerate((20, 12))]
    rows = assess(tmp_path, tu, [sized(30, 0), sized(20, 1), *second])
    assert [(r[1], r[-2], r[-1]) for r in rows if r[-3] == "TRGRESP"] == [
        ("1", "PR", "sum 32.0, nadir 50.0 on 2014-01-01: -18.0 mm, -36.0 %; baseline 50.0")
    ]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        # as many decimals as it takes to see why
        (24.9, 29.88, ("SD", "sum 29.880, nadir 24.900 on 2014-01-01: +4.980 mm, +20.0 %; baseline 24.900")),
        (50.01, 60.01, ("SD", "sum 60.010, nadir 50.010 on 2014-01-01: +10.000 mm, just below 20 %; baseline 50.010")),
        (50, 60, ("PD", "sum 60.0, nadir 50.0 on 2014-01-01: +10.0 mm, +20.0 %; baseline 50.0")),
        (30, "PRESENT", ("PD", "a target lesion is back after complete response; a size is missing, so that there is "
                               "no sum to compare")),
    ],
)  # fmt: skip
def test_a_reason_can_be_checked(tmp_path: Path, before: float, after: Any, said: tuple[str, str]) -> None:
    gone = [["A", "T1", "TUMSTATE", "", "ABSENT", "", 1, DAYS[1]]] if after == "PRESENT" else []
    last = ["A", "T1", "TUMSTATE", "", after, "", 2, DAYS[2]] if gone else sized(after, 2)
    rows = assess(tmp_path, LIVER, [sized(before, 0), *gone, last])
    assert [tuple(r[-2:]) for r in rows if r[-3] == "TRGRESP"][-1] == said


@pytest.mark.parametrize("number", ["2x", "", -3])
def test_a_visit_of_which_nothing_can_be_read_is_not_evaluable(tmp_path: Path, number: Any) -> None:
    """Two of them in a row, and what follows no longer confirms what was before."""
    late = ["A", "T1", "LDIAM", 20, 20, "", 4, "2014-09-01"]
    unread = [
        ["A", "T1", "LDIAM", number, "", "", 2, DAYS[2]],
        ["A", "T1", "TUMSTATE", "", "NOT EVALUABLE", "", 3, DAYS[3]],
    ]
    rows = assess(tmp_path, LIVER, [sized(30, 0), sized(20, 1), *unread, late])
    assert overall(rows) == ["PR", "NE", "NE", "PR"] and len(rejected(tmp_path)) == 2
    assert {r[-3]: r[-2] for r in rows}["CBRESP"] == "SD"


def test_what_cannot_be_read_of_a_new_lesion_before_it_was_seen_makes_it_no_old_one(tmp_path: Path) -> None:
    """A grid of all lesions and visits: the new one has a row at the baseline, without a result."""
    tu = [*LIVER, ["A", "N1", "NEW", "BRAIN", 1, DAYS[1]]]
    rows = assess(tmp_path, tu, [sized(30, 0), sized("", 0, "N1"), sized(30, 1), sized(8, 1, "N1")])
    assert overall(rows) == ["PD"] and len(rejected(tmp_path)) == 1


def test_a_response_that_is_not_confirmed_says_so(tmp_path: Path) -> None:
    rows = assess(tmp_path, LIVER, [sized(100, 0), sized(60, 1), sized(90, 2)])
    best = {r[-3]: r[-2:] for r in rows}
    assert best["CBRESP"] == ["SD", "PR on 2014-03-01, 59 days after start, is not confirmed and counts as SD"]


@pytest.mark.parametrize("name", ["tu.csv", "tr.csv"])
def test_nobodys_file_is_written_over(tmp_path: Path, name: str) -> None:
    assess(tmp_path, LIVER, [sized(30, 0)])
    before = (tmp_path / name).read_bytes()
    with pytest.raises(UsageError, match=rf"{name}: another file than tu.csv and tr.csv is expected"):
        run(tmp_path / "tu.csv", tmp_path / "tr.csv", tmp_path / name)
    assert (tmp_path / name).read_bytes() == before


@pytest.mark.parametrize("number", ["9.8", "9.800000000000001", "9.80"])
def test_a_binary_fraction_of_another_program_decides_nothing(tmp_path: Path, number: str) -> None:
    """14 -> 9.8 mm is exactly 70 %."""
    assert overall(assess(tmp_path, LIVER, [sized(14, 0), sized(number, 1)])) == ["PR"]


def test_na_of_r_is_an_empty_cell(tmp_path: Path) -> None:
    tr = [sized(30, 0), ["A", "T1", "LDIAM", "NA", "ABSENT", "NA", 1, DAYS[1]]]
    tr.append(["A", "T1", "LDIAM", 4, "NA", "NA", 2, DAYS[2]])
    assert overall(assess(tmp_path, LIVER, tr)) == ["CR", "PD"] and rejected(tmp_path) == []


def test_a_visit_number_is_not_rounded(tmp_path: Path) -> None:
    """Two visits would be one."""
    later = zip((1.12345, 1.12346, 1.5), DAYS[1:], strict=True)
    tr = [sized(30, 0), *(["A", "T1", "LDIAM", 30, "", "", n, day] for n, day in later)]
    assert overall(assess(tmp_path, LIVER, tr))[-1] == "SD"
    assert [reason for *_, reason in rejected(tmp_path)] == 2 * ["VISITNUM: at most four decimals are expected"]


def test_readers_are_kept_apart(tmp_path: Path) -> None:
    """The same label means another lesion to another reader; each has a baseline of its own."""
    readers = [("INVESTIGATOR", ""), ("INDEPENDENT ASSESSOR", "R1"), ("INDEPENDENT ASSESSOR", "R2")]
    sizes = {"INVESTIGATOR": (30, 20), "R1": (40, 40), "R2": (30, 60)}
    tu = [[*LIVER[0], *reader] for reader in readers]
    tr = [[*sized(mm, visit), *r] for r in readers for visit, mm in enumerate(sizes[r[1] or r[0]])]
    rows = assess(tmp_path, tu, tr, [*TU, "TUEVAL", "TUEVALID"], [*TR, "TREVAL", "TREVALID"])
    best = {(r[1], r[2]): r[-2] for r in rows if r[-3] == "BESTRESP"}
    assert best == {
        ("INVESTIGATOR", ""): "PR",
        ("INDEPENDENT ASSESSOR", "R1"): "SD",
        ("INDEPENDENT ASSESSOR", "R2"): "PD",
    }
    assert [r[5] for r in rows[:3]] == ["NEWLPROG"] * 3


def test_a_tu_without_readers_holds_for_all(tmp_path: Path) -> None:
    tr = [
        [*sized(mm, visit), reader]
        for reader, second in (("A1", 20), ("A2", 45))
        for visit, mm in ((0, 30), (1, second))
    ]
    rows = assess(tmp_path, LIVER, tr, TU, [*TR, "TREVAL"])
    assert {r[1]: r[-2] for r in rows if r[-3] == "BESTRESP"} == {"A1": "PR", "A2": "PD"}


def test_a_column_without_a_word_names_no_reader(tmp_path: Path) -> None:
    rows = assess(
        tmp_path, [[*LIVER[0], " "]], [[*sized(30, 0), "R"], [*sized(20, 1), "R"]], [*TU, "TUEVAL"], [*TR, "TREVAL"]
    )
    assert [r[-2] for r in rows if r[-3] == "BESTRESP"] == ["PR"] and rejected(tmp_path) == []


def test_readers_in_tu_alone_are_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="TREVAL is expected"):
        assess(tmp_path, [[*LIVER[0], "R"]], [sized(30, 0)], [*TU, "TUEVAL"])


@pytest.mark.parametrize("suffix", ["parquet", "xpt"])
def test_parquet_and_xpt_give_the_same(tmp_path: Path, suffix: str) -> None:
    """The example again; in XPT numbers are IBM fractions, and blanks stand for a missing text."""
    for name in ("tu", "tr"):
        rows = pd.read_csv(EXAMPLE / f"{name}.csv", dtype=str, keep_default_na=False)
        for column in {"VISITNUM", "TRSTRESN"} & {*rows.columns}:
            rows[column] = pd.to_numeric(rows[column])
        path = tmp_path / f"{name}.{suffix}"
        rows.to_parquet(path) if suffix == "parquet" else pyreadstat.write_xport(
            rows, str(path), table_name=name.upper()
        )
    run(tmp_path / f"tu.{suffix}", tmp_path / f"tr.{suffix}", tmp_path / "rs.csv")
    assert (tmp_path / "rs.csv").read_bytes() == (EXAMPLE / "rs.csv").read_bytes()
    assert [r[1:] for r in rejected(tmp_path)] == [("20", "no record of the tumours file identifies this lesion")]


@pytest.mark.parametrize(("switch", "reading"), [(s, r) for s, known in study.readings().items() for r in known])
def test_every_reading_is_an_option(tmp_path: Path, switch: str, reading: Any) -> None:
    assert overall(assess(tmp_path, LIVER, [sized(30, 0), sized(20, 1)], **{switch: reading})) == ["PR"]


def test_an_option_changes_the_response(tmp_path: Path) -> None:
    tr = [sized(mm, visit) for visit, mm in enumerate((100, 70, 70, 80))]
    assert overall(assess(tmp_path, LIVER, tr)) == ["PR", "PR", "PR"]
    assert overall(assess(tmp_path, LIVER, tr, sd_after_pr="sd")) == ["PR", "PR", "SD"]


@pytest.mark.parametrize(
    ("options", "nearest"),
    [
        ({"sd_afer_pr": "sd"}, "sd_after_pr"),
        ({"pd_date": "lst"}, "last"),
        ({"accept_sd": "yess"}, "yes"),
        ({"min_sd_days": 48}, "49"),
    ],
)
def test_a_wrong_word_is_answered_with_the_nearest(
    tmp_path: Path, restage: Restage, options: dict[str, Any], nearest: str
) -> None:
    (tmp_path / "options.yaml").write_text(yaml.safe_dump(options), encoding="utf-8")
    done = restage(
        "recist", "--tumours", EXAMPLE / "tu.csv", "--measurements", EXAMPLE / "tr.csv", "--out", tmp_path / "rs.csv",
        "--options", tmp_path / "options.yaml",
    )  # fmt: skip
    assert (done.returncode, f"Did you mean {nearest}?" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tr.csv", b"USUBJID,TRLNKID\n", "no column TRTESTCD(.|\n)*no column TRSTRESN(.|\n)*no column TRDTC"),
        ("tr.csv", b"USUBJID;TRLNKID\n", "separated by commas"),
        ("tr.csv", b"\xff\xfe\x00", "UTF-8"),
        ("tr.csv", b"", "expected a header. Check the delimiter and the columns of the export.$"),
        ("tr.parquet", b"no Parquet", "Parquet"),
        ("tr.xpt", b"no XPT", "SAS transport"),
        ("tr.txt", b"", "ends in .csv, .parquet, .xpt"),
    ],
)
def test_a_file_that_cannot_be_read_is_wrong_usage(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=said):
        run(EXAMPLE / "tu.csv", tmp_path / name, tmp_path / "rs.csv")


def test_the_order_of_records_does_not_matter(tmp_path: Path) -> None:
    """Every order of records that say the same, two of one day among them."""
    tr = [sized(30, 0), sized(20, 1), sized(21, 1), sized(40, 2)]
    found = [assess(tmp_path, LIVER, list(order)) for order in itertools.permutations(tr)]
    assert all(rows == found[0] for rows in found)
    assert found[0][3][-1].startswith("sum 21.0")
