"""What the Dagster UI is shown of tables, and where it says that a report lies."""

from pathlib import Path

import dagster as dg
import pytest

from pipelines.errors import MappingError
from pipelines.orchestration.previews import markdown_table, report_link
from pipelines.orchestration.settings import load_settings
from pipelines.warehouse import Home


def test_a_text_stays_in_its_cell() -> None:
    shown = markdown_table(["a", "n"], [["one | two\nthree", 1], [None, 0]])
    assert shown.splitlines() == ["| a | n |", "| --- | --- |", "| one \\| two three | 1 |", "|  | 0 |"]


def test_a_report_is_a_path_or_an_address_where_a_server_shows_it(tmp_path: Path) -> None:
    home = Home(tmp_path)
    path = tmp_path / "reports" / "study" / "report.html"
    assert report_link(home, "study/report.html") == dg.MetadataValue.path(str(path.resolve()))
    (tmp_path / "operation.yaml").write_text("reports_url: /reports/\n", encoding="utf-8")
    assert report_link(home, "study/report.html") == dg.MetadataValue.url("/reports/study/report.html")


@pytest.mark.parametrize("owner", ["coordinating centre", "team:", "someone@"])
def test_an_owner_that_dagster_would_refuse_is_refused_by_name(tmp_path: Path, owner: str) -> None:
    (tmp_path / "operation.yaml").write_text(f'owner: "{owner}"\n', encoding="utf-8")
    with pytest.raises(MappingError, match=r"operation\.yaml: owner"):
        load_settings(Home(tmp_path))
