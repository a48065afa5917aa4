"""Public exports (REDCap test projects, a MOSAIQ extract) are read whole; skipped where the samples are not at hand."""

import csv
import os
from pathlib import Path

import pytest

from pipelines import study
from pipelines.errors import UnreadableFile
from pipelines.readers.csv import read_file

SAMPLES = Path(os.environ.get("RESTAGE_SAMPLES", study.ROOT.parent / "shared" / "samples"))
PUBLIC = sorted(p for kind in ("redcap", "mosaiq") for p in (SAMPLES / kind).rglob("*.csv"))
REDCAP = SAMPLES / "redcap" / "REDCapR"
COMMA = {"encoding": "utf-8", "delimiter": ","}

pytestmark = pytest.mark.skipif(not PUBLIC, reason="no public samples beside the project or in RESTAGE_SAMPLES")


def truth(path: Path) -> list[dict[str, str | None]]:
    """The rows as Python's own reader finds them; blank is None."""
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file, strict=True)
        return [dict(zip(header, (c or None for c in row), strict=True)) for row in rows if row]


@pytest.mark.parametrize("path", PUBLIC, ids=lambda p: p.relative_to(SAMPLES).as_posix())
def test_every_row_and_cell_is_read(path: Path) -> None:
    read = read_file(path, COMMA).to_pylist()
    # a column without a name has its number for one, or is left out where nothing stands in it
    rows = [
        {name or f"column_{n}": cell for n, (name, cell) in enumerate(row.items(), 1) if name or cell}
        for row in truth(path)
    ]
    assert len(read) == len(rows) > 0
    assert [{c: v for c, v in row.items() if c != "source_row"} for row in read] == [
        {c: row.get(c) for c in read[0] if c != "source_row"} for row in rows
    ]
    assert all(row.keys() <= read[0].keys() for row in rows)


def test_values_that_are_known_to_be_problematic_arrive_as_they_are() -> None:
    path = REDCAP / "potentially-problematic-values" / "data.csv"
    times = [row["time_1"] for row in read_file(path, COMMA).to_pylist()]
    assert times == ["2010-01-02", "55:02"]


def test_decimal_comma_and_dot_stay_apart_as_text() -> None:
    rows = read_file(REDCAP / "decimal-comma-and-dot" / "data.csv", COMMA).to_pylist()
    assert [(r["height_dot"], r["height_comma"]) for r in rows][:2] == [("1.54", "1,54"), ("1.84", "1,84")]


def test_rows_of_repeating_instruments_keep_their_instance() -> None:
    rows = read_file(REDCAP / "repeating-instruments" / "data.csv", COMMA).to_pylist()
    named = [(r["redcap_repeat_instrument"], r["redcap_repeat_instance"]) for r in rows]
    assert any(all(pair) for pair in named) and any(not any(pair) for pair in named)


@pytest.mark.parametrize("path", PUBLIC, ids=lambda p: p.relative_to(SAMPLES).as_posix())
def test_a_sample_that_was_cut_off_is_refused_or_lacks_rows_at_its_end_only(path: Path, tmp_path: Path) -> None:
    content, cut = path.read_bytes(), tmp_path / "cut.csv"
    whole = read_file(path, COMMA).to_pylist()
    for share in (3, 5, 7):
        cut.write_bytes(content[: len(content) * share // 8] + b"\0")
        with pytest.raises(UnreadableFile, match="NUL"):
            read_file(cut, COMMA)
        cut.write_bytes(content[: len(content) * share // 8])
        try:
            rows = read_file(cut, COMMA).to_pylist()
        except UnreadableFile as error:
            assert error.problems[0].expected
            continue
        # the last row may have lost the end of its last cell, and a column that was filled only further down is none
        assert rows[:-1] == [{c: row[c] for c in rows[0]} for row in whole[: len(rows) - 1]] if rows else True
