"""`restage survival` on files that are not this project's: output, refused rows, exit codes; the how-to's example."""

import csv
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines import study, warehouse
from pipelines.errors import UsageError
from pipelines.survival.adtte import MOST_GROUPS, Figures, figures
from tests.conftest import Restage
from tests.unit.xpt_file import write_xpt

EXAMPLE = study.ROOT / "examples" / "survival" / "adtte.csv"
EXPECTED = study.ROOT / "tests" / "unit" / "survival_expected"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def of(
    by: str | None = None, times: tuple[float, ...] = (), kind: str | None = None, **columns: list[str | None]
) -> Figures:
    """The figures of columns of text."""
    n = len(columns["aval"])
    given = {"source_row": [str(i) for i in range(n)], "paramcd": ["P"] * n, "cnsr": ["0"] * n} | columns
    with closing(warehouse.memory()) as con:
        con.register("adtte", pa.table({name: pa.array(values, pa.string()) for name, values in given.items()}))
        return figures(con, by, times, kind)


def test_the_how_tos_example_gives_what_the_how_to_says(tmp_path: Path, restage: Restage) -> None:
    out = tmp_path / "pfs.csv"
    done = restage("survival", "--adtte", EXAMPLE, "--by", "TRTP", "--kind", "EVNTDESC", "--out", out)
    assert done.returncode == 0, done.stderr
    page = (study.ROOT / "docs" / "how-to" / "survival.md").read_text(encoding="utf-8")
    table = [line.strip()[1:-1].split("|") for line in page.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line] for line in table]
    head = next(line for line in cells if line[0] == "trtp")
    shown = [
        dict(zip(head, line, strict=True))
        for line in cells
        if line[0] in ("Drug", "Placebo") and len(line) == len(head)
    ]
    found = rows(out)
    assert [row["trtp"] for row in shown] == [row["trtp"] for row in found] == ["Drug", "Placebo"]
    for told, row in zip(shown, found, strict=True):
        for name in head:
            decimals = len(told[name].partition(".")[2])
            assert told[name] == (f"{float(row[name]):.{decimals}f}" if decimals else row[name]), name
    refused = rows(Path(f"{out}.rejected.csv"))
    assert refused == [{"source_file": "adtte.csv", "source_row": "17", "reason": "AVAL is empty"}]
    last = {(r["trtp"], r["kind"]): float(r["incidence"]) for r in rows(Path(f"{out}.incidence.csv"))}
    assert last["Placebo", "Death"] + last["Placebo", "Progression"] == pytest.approx(1)


def test_a_file_of_cohorts_gives_what_r_gives(tmp_path: Path, restage: Restage) -> None:
    """The invented ones and R's own, ADTTE-shaped by their header only; groups in a column of their own."""
    adtte, out = tmp_path / "a.csv", tmp_path / "out.csv"
    text = (EXPECTED / "cohorts.csv").read_text(encoding="utf-8")
    adtte.write_text(text.replace("paramcd,t,cnsr,grp,kind", "ParamCd,Aval,CNSR,arm,evntdesc", 1), encoding="utf-8")
    done = restage("survival", "--adtte", adtte, "--out", out)
    assert done.returncode == 0, done.stderr
    found = {row["paramcd"]: row for row in rows(out)}
    expected = {row["paramcd"]: row for row in rows(EXPECTED / "summaries.csv") if not row["grp"]}
    assert found.keys() == expected.keys()
    same = {name: name for name in ("n", "n_event", "median", "min", "max", "followup")}
    same |= {"median_lcl": "lcl", "median_ucl": "ucl"}
    for paramcd, row in expected.items():
        for ours, theirs in same.items():
            value = found[paramcd][ours]
            assert (value == row[theirs] == "") or float(value) == pytest.approx(float(row[theirs]), rel=1e-9), paramcd
    assert "LUNG: AVALU names no unit of time" in done.stderr
    assert rows(Path(f"{out}.rejected.csv")) == []


def test_wrong_usage_names_the_nearest_column(tmp_path: Path, restage: Restage) -> None:
    done = restage("survival", "--adtte", EXAMPLE, "--by", "TRT", "--out", tmp_path / "o.csv")
    assert done.returncode == 2 and "no column TRT; the nearest is TRTP" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [["--times", "six"], ["--times", "-1"], ["--times", ","], ["--out", "none/o.csv"]])
def test_wrong_options_are_told(tmp_path: Path, restage: Restage, options: list[str]) -> None:
    given = ["--adtte", EXAMPLE, "--out", tmp_path / "o.csv"]
    done = restage("survival", *given, *options)
    assert done.returncode == 2 and "expected" in done.stderr and "Traceback" not in done.stderr


def test_xpt_is_read_too(tmp_path: Path, restage: Restage) -> None:
    path, out = tmp_path / "adtte.xpt", tmp_path / "o.csv"
    write_xpt(path, {"PARAMCD": ["OS"] * 4, "AVAL": [1, 2, 3, 4.5], "CNSR": [0, 0, 1, None], "AVALU": ["YEARS"] * 4})
    assert restage("survival", "--adtte", path, "--out", out).returncode == 0
    found = rows(out)[0]
    assert (found["n"], found["median"], found["avalu"]) == ("3", "2.0", "YEARS")
    assert float(found["survival_12_months"]) == pytest.approx(2 / 3)
    assert [row["reason"] for row in rows(Path(f"{out}.rejected.csv"))] == ["CNSR is empty"]


def test_each_bad_row_has_its_reason_and_the_others_count() -> None:
    bad: list[tuple[str | None, str | None, str | None, str]] = [
        ("1e999", "0", "a", "AVAL is no number"), ("nan", "0", "a", "AVAL is no number"),
        ("12,5", "0", "a", "AVAL is no number"), ("-0.5", "0", "a", "AVAL is below 0"),
        (" ", "0", "a", "AVAL is empty"), ("1", None, "a", "CNSR is empty"),
        ("1", "-1", "a", "CNSR is no whole number from 0 on (0 = event)"),
        ("1", "0.5", "a", "CNSR is no whole number from 0 on (0 = event)"),
        ("1", "Y", "a", "CNSR is no whole number from 0 on (0 = event)"), ("1", "0", None, "ARM is empty"),
    ]  # fmt: skip
    good = [(" 2 ", "0", "a"), ("0", "1.0", "a"), ("1e1", "00", "a"), (".5", "2", "a"), ("3.", "0", "a")]
    aval, cnsr, arm = (list(column) for column in zip(*[row[:3] for row in bad], *good, strict=True))
    found = of("ARM", (2,), aval=aval, cnsr=cnsr, arm=arm)
    assert [reason for _, reason in found.rejected] == [row[3] for row in bad]
    assert found.summary[["n", "n_event", "min", "max"]].values.tolist() == [[5, 3, 0, 10]]


def test_one_unit_a_parameter() -> None:
    with pytest.raises(UsageError, match="AVALU is DAYS and MONTHS"):
        of(aval=["1", "2"], avalu=["DAYS", "Months"])
    found = of(aval=["1", "2", "3"], avalu=["DAYS", None, "DAYS"])
    assert [reason for _, reason in found.rejected] == ["AVALU is empty, though other rows of this PARAMCD have it"]


@pytest.mark.parametrize(("unit", "six"), [("DAYS", 182.625), ("weeks", 182.625 / 7), ("MONTH", 6), ("Years", 0.5)])
def test_the_protocols_months_are_turned_into_the_files_unit(unit: str, six: float) -> None:
    """An event just before and one just after six months."""
    summary = of(aval=[str(six * 0.999), str(six * 1.001)], avalu=[unit, unit]).summary
    assert summary["survival_6_months"].tolist() == [0.5] and summary["at_risk_6_months"].tolist() == [1]


@pytest.mark.parametrize("by", ["N", "median", "SURVIVAL_12"])
def test_groups_that_are_named_as_a_figure_are_refused(by: str) -> None:
    with pytest.raises(UsageError, match=f"--by {by}: the output has a column of this name"):
        of(by, aval=["1", "2"], **{by.lower(): ["A", "B"]})


def test_subjects_in_place_of_groups_are_refused() -> None:
    many = [str(i) for i in range(MOST_GROUPS + 1)]
    with pytest.raises(UsageError, match="--by USUBJID"):
        of("USUBJID", aval=many, usubjid=many)


def test_a_subject_that_stands_twice_is_reported() -> None:
    found = of(times=(1,), aval=["1", "2", "3"], usubjid=["S1", "S1", "S2"])
    assert found.notes == ["P: 1 subjects stand there more than once; each row was counted."]


def test_of_no_usable_row_comes_an_empty_table() -> None:
    found = of("ARM", kind="WHAT", aval=["x"], arm=["a"], what=["a"])
    assert (
        found.summary.empty and "logrank_p" in found.summary and found.incidence is not None and found.incidence.empty
    )


def test_an_event_without_its_kind_is_refused_and_censoring_needs_none() -> None:
    found = of(times=(1,), kind="WHAT", aval=["1", "2", "3"], cnsr=["0", "0", "1"], what=["t", None, None])
    assert [reason for _, reason in found.rejected] == ["WHAT is empty, though CNSR is 0"]
    assert found.incidence is not None and found.incidence["incidence"].tolist() == [0.5, 0.5]
