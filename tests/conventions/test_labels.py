"""Every form and field that a centre reads of has a name in its language."""

import pytest

from pipelines import centres, study
from pipelines.query_words import called, code_words, field_label, forms, short, words
from pipelines.reports.centre_report import words as page_words
from pipelines.rules.load import LANGUAGES, load_rules

LISTED = "staged.replies"  # a list of queries that came back: its columns keep the names that its legend explains
RULES = [rule for rule in load_rules() if not rule.raised_by and rule.native is None]


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_every_form_and_field_of_a_rule_is_said_in_every_language(language: str) -> None:
    """A rule asks about its first field, as the lists of queries and the reports name it."""
    said = called(language)
    asked = {r.rule_id: (forms()[r.table], field_label(r.table, r.fields[0])) for r in RULES if r.table != LISTED}
    missing = {name: [label for label in labels if label not in said] for name, labels in asked.items()}
    assert {name: labels for name, labels in missing.items() if labels} == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_is_said_in_every_language(language: str) -> None:
    """But those that everybody says, in any language."""
    used = {c.codelist for t in study.staged_tables().values() for c in t.columns if c.codelist} - {"response"}
    missing = {name: set(study.codelist(name)) - code_words(name, language).keys() for name in used}
    assert used and {name: codes for name, codes in missing.items() if codes} == {}
    assert code_words("response", language) == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_list_that_came_back_is_called_as_its_reader_calls_it(language: str) -> None:
    said = words(language)
    assert {r.fields[0] for r in RULES if r.table == LISTED} - said["legend"].keys() == set()
    assert said["forms"].keys() == {LISTED}


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_every_form_and_field_that_a_centre_sends_is_said_in_every_language(language: str) -> None:
    tables = study.staged_tables().values()
    wanted = {short(table.label) for table in tables}
    wanted |= {c.label for t in tables for c in t.columns if c.name not in study.PROVENANCE and not c.derived}
    assert wanted - called(language).keys() == set()


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_every_reason_for_which_a_row_is_left_out_is_said_in_every_language(language: str) -> None:
    """Also of a centre that reads another one today."""
    mapped = centres.load_all(study.ROOT / "centres").values()
    reasons = {drop["reason"] for c in mapped for source in c.sources.values() for drop in source.drop_rows}
    assert reasons and reasons - page_words(language)["words"].keys() == set()
