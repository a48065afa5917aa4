"""No patient's value reaches Dagster: canaries in every field of every centre, and none of them in its records."""

import json
import re
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import openpyxl
import pytest
from canaries import WORD, Flock, plant_all, seen
from served import START_SECONDS, post, served

from pipelines import study

pytestmark = pytest.mark.long
Restage = Callable[..., Any]
CENTRES = sorted(p.parent.name for p in (study.ROOT / "centres").glob("[!_]*/sample"))
RUNS = """{ runsOrError { ... on Runs { results { runId tags { key value } } } } }"""
METADATA = """{ metadataEntries { label description
    ... on TextMetadataEntry { text } ... on JsonMetadataEntry { jsonString } ... on MarkdownMetadataEntry { mdStr }
    ... on PathMetadataEntry { path } ... on UrlMetadataEntry { url } ... on FloatMetadataEntry { floatValue }
    ... on TableSchemaMetadataEntry { schema { columns { name description } } } } }"""
SHOWN = f"""{{ assetNodes {{
    assetKey {{ path }} description
    assetMaterializations {METADATA}
    assetChecksOrError {{ ... on AssetChecks {{ checks {{ name description
        executionForLatestMaterialization {{ evaluation {{ description metadataEntries {{ label
            ... on TextMetadataEntry {{ text }} ... on JsonMetadataEntry {{ jsonString }} }} }} }} }} }} }}
}} }}"""
LOGS = """{ logsForRun(runId: "%s", limit: 20000) { ... on EventConnection { events { ... on MessageEvent {
    eventType message } } } } }"""


class Planted(NamedTuple):
    home: Path
    printed: str
    made: set[str]
    codes: set[str]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, restage: Restage) -> Planted:
    """A study over samples with canaries: words, which nothing can read, and values, which are taken as they are."""
    home, made = tmp_path_factory.mktemp("canaries") / "home", list[str]()
    for centre in CENTRES:
        folder, words = home / "inbox" / centre / "2017-02-10", home / "words" / centre
        plant_all(study.ROOT / "centres" / centre / "sample", words, Flock(True, made=made))
        plant_all(words, folder, Flock(False, made=made))
    # a name where none may be: this delivery is rejected, and says why
    named = home / "inbox" / "rt2" / "2017-03-10" / "RT2_MOSAIQ.xlsx"
    book = openpyxl.load_workbook(study.ROOT / "centres" / "rt2" / "sample" / named.name)
    book["Treatment Summary"]["B10"] = f"{WORD}9999"
    named.parent.mkdir()
    book.save(named)
    shutil.rmtree(home / "words")
    done = restage("run", "--home", home)
    assert done.returncode == 3, done.stdout + done.stderr
    with duckdb.connect(str(home / "warehouse.duckdb"), read_only=True) as con:
        codes = {c for row in con.execute("select usubjid from harmonised.subjects").fetchall() for c in row}
    local = f"select distinct local_id from read_parquet('{home}/staged/*/links.parquet', union_by_name = true)"
    codes |= {c for (c,) in duckdb.sql(local).fetchall() if c and len(c) > 4}
    return Planted(home, done.stdout + done.stderr, set(made), codes)


@pytest.fixture(scope="module")
def shown(planted: Planted) -> str:
    """All that the UI is given of assets, checks and runs."""
    with served(planted.home) as address:
        deadline = time.monotonic() + START_SECONDS
        while not (nodes := post(address, SHOWN)["assetNodes"]):
            assert time.monotonic() < deadline, "no assets"
            time.sleep(0.5)
        runs = post(address, RUNS)
        logs = [post(address, LOGS % run["runId"]) for run in runs["runsOrError"]["results"]]
    return json.dumps([nodes, runs, logs], ensure_ascii=False)


def leaks(planted: Planted, text: str) -> set[str]:
    return {*seen(planted.made, text), *(c for c in planted.codes if re.search(rf"(?<!\w){re.escape(c)}(?!\w)", text))}


def test_the_canaries_are_in_the_study(planted: Planted) -> None:
    """Without this the other tests could not fail: every centre's words are asked about, and its values are stored."""
    with duckdb.connect(str(planted.home / "warehouse.duckdb"), read_only=True) as con:
        asked = con.execute(
            f"select centre, count(distinct value_received) from validated.findings "
            f"where value_received ilike '%{WORD}%' group by centre"
        ).fetchall()
        tables = ("measurements", "fractions", "labs")
        stored = " ".join(str(v) for t in tables for row in con.execute(f"from harmonised.{t}").fetchall() for v in row)
    assert {centre for centre, _ in asked} == set(CENTRES)
    assert sum(n for _, n in asked) > 60
    assert len(set(seen(planted.made, stored))) > 8
    assert planted.codes and leaks(planted, f"x {next(iter(planted.codes))} y")


def test_nothing_of_them_is_printed(planted: Planted) -> None:
    assert "rejected" in planted.printed
    assert leaks(planted, planted.printed) == set()


def test_no_file_of_dagsters_holds_one(planted: Planted, shown: str) -> None:
    """Event logs, runs and ticks as rows, other files as they are, names included; daemon and webserver were there."""
    read = 0
    for path in (planted.home / "dagster").rglob("*"):
        assert leaks(planted, path.name) == set()
        if path.suffix == ".db":
            read += (rows := _rows(path)).count("STEP_SUCCESS")
            assert leaks(planted, rows) == set(), path
        elif path.is_file():
            assert leaks(planted, path.read_bytes().decode("latin-1")) == set(), path
    assert read > 0


def _rows(path: Path) -> str:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as con:
        names = [n for (n,) in con.execute("select name from sqlite_master where type = 'table'")]
        return "\n".join(repr(row) for name in names for row in con.execute(f'select * from "{name}"'))


def test_the_ui_is_given_none(planted: Planted, shown: str) -> None:
    assert len(shown) > 100_000 and "by_rule" in shown and "STEP_SUCCESS" in shown
    assert leaks(planted, shown) == set()
