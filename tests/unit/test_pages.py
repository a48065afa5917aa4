"""Pages are escaped, numbers are rounded half up."""

from pathlib import Path

import pytest

from pipelines.reports.pages import page
from pipelines.reports.study_report import _printed


def test_what_a_hospital_wrote_cannot_run_in_a_page(tmp_path: Path) -> None:
    row = {"centre": "x", "title": "<script>alert(1)</script>", "delivery": None}
    centre = row | dict.fromkeys(("n_received", "n_dropped", "n_subjects", "n_queries"), 0)
    text = page("index.html", tmp_path / "p.html", title="t", note="", centres=[centre], rules=[]).read_text("utf-8")
    assert "<script>" not in text and "&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("value", "decimals", "printed"),
    [
        (9.44558521560575, 2, "9.45"),
        (13.979466119096509, 1, "14.0"),
        (0.5, 0, "1"),
        (2.5, 0, "3"),
        (None, 2, "not reached"),
    ],
)
def test_numbers_are_rounded_half_up(value: float | None, decimals: int, printed: str) -> None:
    assert _printed(value, decimals) == printed
