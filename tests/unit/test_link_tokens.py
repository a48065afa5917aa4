"""The how-to's own lines compute the token that it prints, and a mapping may name the column."""

import re
from pathlib import Path
from typing import Any

import duckdb

from pipelines import centres, staging, study
from tests.unit.test_staging import HEAD, land

PAGE = (study.ROOT / "docs" / "how-to" / "link-tokens.md").read_text(encoding="utf-8")


def test_the_snippet_gives_the_printed_token() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    token, key = names["link_token"], b"example key, never used"
    assert token(key, "RSSMRA80A01H501U") in re.findall(r"`([0-9a-f]{64})`", PAGE)
    assert token(key, " rssmra 80a01 h501u ") == token(key, "RSSMRA80A01H501U") != token(b"other", "RSSMRA80A01H501U")
    assert token(key, "") is None


def test_the_mapping_of_the_page_stages_the_token(tmp_path: Path) -> None:
    (tables,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    folder = tmp_path / "x1"
    folder.mkdir()
    (folder / "centre.yaml").write_text(HEAD + tables, encoding="utf-8")
    rows = {"log": (["id", "code", "token"], [["1", "RCC-ME1-001-M", "ab12"], ["2", "RCC-ME1-002-K", None]])}
    staging.stage(centres.load(folder), land(tmp_path / "d1", rows), tmp_path / "staged")
    with duckdb.connect() as con:
        found = con.execute(f"select local_id, link_token from '{tmp_path}/staged/links.parquet'").fetchall()
    assert found == [("1", "ab12"), ("2", None)]
