"""Great Expectations as the face of the rules: what a user of that library finds in `<home>/gx`."""

import json
import re
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines import study, warehouse
from pipelines.rules.gx import validate, write_tables
from pipelines.rules.load import Rule, load_rules

NATIVE = [rule for rule in load_rules() if rule.native]
HOW_TO = study.ROOT / "docs" / "how-to" / "great-expectations.md"
ROW = {"family": "made", "title": "A title for $5", "severity": "query", "table_name": "harmonised.fractions"}
DELIVERIES = {"a": "a-2020-01-01_first-00", "b": "b-2020-01-02_first-00"}


def counted(**changes: tuple[str, int, int]) -> list[dict[str, Any]]:
    """The counts of four rules at two centres, one rule in each status; `changes` by rule hold at centre b."""
    kinds = {
        "pass": ("pass", 4, 0),
        "fail": ("fail", 4, 1),
        "nothing": ("not_applicable", 0, 0),
        "broken": ("error", 0, 0),
    }
    return [
        {**ROW, "rule_id": f"made/{name}", "centre": centre, "status": status, "n_checked": checked, "n_failed": failed}
        for centre in DELIVERIES
        for name, (status, checked, failed) in (kinds | (changes if centre == "b" else {})).items()
    ]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A folder with one run, and what was said of it."""
    out = tmp_path_factory.mktemp("gx")
    return out, validate(counted(), out, DELIVERIES)


def results(out: Path, run: str) -> dict[str, dict[str, Any]]:
    """The stored results of the newest run of that name, by rule."""
    newest = max(out.glob(f"uncommitted/validations/made/{run}/*/*.json"))
    stored = json.loads(newest.read_text(encoding="utf-8"))
    return {r["expectation_config"]["kwargs"]["rule_id"]: r for r in stored["results"]}


def test_passing_failing_inapplicable_and_broken_rules_stay_apart(recorded: tuple[Path, dict[str, Any]]) -> None:
    said = recorded[1]
    assert {k: said[k] for k in ("passed", "failed", "not_applicable", "error")} == {
        "passed": 1, "failed": 1, "not_applicable": 1, "error": 1,
    }  # fmt: skip
    assert said["failing_rules"] == ["made/fail"] and said["rules_in_error"] == ["made/broken"]
    assert said["recorded"] == ["a-2020-01-01_first-00", "all_centres", "b-2020-01-02_first-00"]


def test_each_centre_and_delivery_has_results_of_its_own(recorded: tuple[Path, dict[str, Any]]) -> None:
    found = results(recorded[0], DELIVERIES["b"])
    failed = found["made/fail"]
    assert (failed["success"], failed["result"]["unexpected_count"], failed["result"]["element_count"]) == (False, 1, 4)
    assert failed["result"]["details"]["by_centre"] == {
        "b": {"delivery": DELIVERIES["b"], "checked": 4, "failed": 1, "status": "fail"}
    }
    together = results(recorded[0], "all_centres")["made/fail"]["result"]
    assert (together["unexpected_count"], list(together["details"]["by_centre"])) == (2, ["a", "b"])
    assert found["made/nothing"]["result"]["details"]["status"] == "not_applicable"
    assert "made/broken could not run (b)" in found["made/broken"]["exception_info"]["exception_message"]


def test_the_pages_say_it_in_words(recorded: tuple[Path, dict[str, Any]]) -> None:
    page = next(recorded[0].glob("uncommitted/data_docs/local_site/validations/made/all_centres/**/*.html"))
    text = " ".join(re.sub(r"<[^>]+>", " ", page.read_text(encoding="utf-8")).split())
    for words in ("A title for $5", "made/fail · query · harmonised.fractions", "2 of 8 rows fail",
                  "nothing to check", "could not run", "b 1 4 fail"):  # fmt: skip
        assert words in text
    assert "Traceback" not in text
    suite = next(recorded[0].glob("uncommitted/data_docs/local_site/expectations/made.html"))
    assert "A title for $5" in suite.read_text(encoding="utf-8")


def test_only_what_changed_is_recorded_again(tmp_path: Path) -> None:
    validate(counted(), tmp_path, DELIVERIES)
    assert validate(counted(), tmp_path, DELIVERIES)["recorded"] == []
    corrected = counted(fail=("pass", 4, 0))
    assert validate(corrected, tmp_path, DELIVERIES)["recorded"] == ["all_centres", DELIVERIES["b"]]
    newer = DELIVERIES | {"b": "b-2020-02-01_second-00"}
    assert validate(corrected, tmp_path, newer)["recorded"] == ["all_centres", newer["b"]]
    assert results(tmp_path, newer["b"])["made/fail"]["success"]
    assert len(list(tmp_path.glob(f"uncommitted/validations/made/{DELIVERIES['b']}/*"))) == 2


def test_a_home_that_was_moved_is_recorded_in_its_new_place(tmp_path: Path) -> None:
    from pipelines.rules.gx_record import open_context

    validate(counted(), tmp_path / "here", DELIVERIES)
    (tmp_path / "here").rename(tmp_path / "there")
    said = validate(counted(), tmp_path / "there", DELIVERIES)
    assert said["recorded"] == [DELIVERIES["a"], "all_centres", DELIVERIES["b"]]
    again = open_context(tmp_path / "there").checkpoints.get("a").run()
    assert again.describe_dict()["statistics"]["evaluated_validations"] == 1


@pytest.mark.parametrize("rule", NATIVE, ids=lambda rule: rule.rule_id)
def test_the_examples_of_a_native_rule_hold(rule: Rule) -> None:
    from pipelines.rules.gx_native import judge

    assert (judge(rule, rule.examples["passes"]), judge(rule, rule.examples["fails"])) == ("pass", "fail")


def test_a_native_rule_looks_at_its_table(tmp_path: Path) -> None:
    """Also where it may not or cannot: too many rows, no such table, no such expectation, no such column."""
    (rule,) = NATIVE
    assert rule.native is not None
    rules = [
        rule,
        replace(rule, name="too_long", table="reports.long", native={**rule.native, "max_rows": 1}),
        replace(rule, name="no_table", table="reports.missing"),
        replace(rule, name="no_rows", table="reports.empty"),
        replace(rule, name="unknown", native={"type": "expect_the_moon"}),
        replace(rule, name="no_column", native={**rule.native, "kwargs": {"column": "verdict", "value_set": []}}),
    ]
    with closing(warehouse.memory()) as con:
        con.execute("create schema reports; create table reports.long as from range(2)")
        con.execute("create table reports.reconciliation as select 'F1' as fact_id, 'differs' as status")
        con.execute("create table reports.empty as from reports.reconciliation limit 0")
        said = validate([], tmp_path, {}, rules, lambda: write_tables(con, tmp_path, rules))
    assert said["failing_rules"] == ["plausibility/published_figures"]
    assert said["rules_in_error"] == [f"plausibility/{n}" for n in ("no_column", "no_table", "too_long", "unknown")]
    assert said["not_applicable"] == 1


def test_the_code_of_the_how_to_runs_over_a_finished_study(demo_home: Path, tmp_path: Path) -> None:
    """As a user of Great Expectations would: nothing of ours but what lies in the folder."""
    (code,) = re.findall(r"```python\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    shutil.copytree(demo_home / "gx", tmp_path / "study-home" / "gx")
    alone = "import sys; sys.modules['pipelines'] = None\n"
    done = subprocess.run(
        [sys.executable, "-c", alone + code], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^eligibility \d+ expectations$", done.stdout, re.MULTILINE)
    assert re.search(r"^me2-2017-04-02_export-\w+ structure/hidden_row fail \(1, \d+\)$", done.stdout, re.MULTILINE)
    assert "'evaluated_validations'" in done.stdout
