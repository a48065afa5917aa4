"""The SQL of the rules: those that read the same rows are judged in one pass over them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipelines import study
from pipelines.query_words import code_words, codelist_of, in_words
from pipelines.rules.load import LANGUAGES, PLACEHOLDER, Rule, table_columns
from pipelines.study import sql_literal as lit

PLACE = ("source_file", "source_row", "delivery_id")
FAILURES = (
    "rule_id", "table_name", "centre", "usubjid", "record_key", "field", "value_received", "expected", "outcome",
    "message", "suggestion", "local_expected", "local_message", "local_suggestion", "severity", "category", *PLACE,
)  # fmt: skip
NOT_GIVEN = {"en": "not given", "it": "non indicato"}
ALIAS = re.compile(r"\b([a-z]\w*)\.")
NAMED = re.compile(r"\b((?:staged|harmonised|assessed|validated)\.\w+)")
COLUMN = re.compile(r"\w+\.(\w+)")
SUBQUERY = re.compile(r"\bselect\b", re.IGNORECASE)
MACROS = r"""
    -- a number as a person writes it, without the zeros of its scale
    create or replace temp macro shown(v) as
        case when typeof(v) like 'DECIMAL%' then rtrim(rtrim(v::varchar, '0'), '.') else v::varchar end;
    -- the day that a delivery's name carries
    create or replace temp macro delivery_day(id) as
        try_cast(nullif(regexp_extract(id, '\d{4}-\d{2}-\d{2}'), '') as date);
"""


def reasons() -> dict[str, dict[str, str]]:
    """Language -> what stands in a reason that our SQL gives (a regular expression) -> what is said."""
    return dict(study.read_yaml(Path(__file__).with_name("reasons.yaml")))


def reasons_macros() -> str:
    """SQL macros `reason_<language>(text)`: such a reason as a centre reads it."""
    made = ""
    for language, said in reasons().items():
        sql = "t"
        sites = {rf"\({code}\)": f"({word})" for code, word in code_words("anatomic_site", language).items()}
        for there, words in (said | sites).items():
            sql = f"regexp_replace({sql}, {lit(there)}, {lit(words)}, 'g')"
        made += f"create or replace temp macro reason_{language}(t) as {sql};"
    return made


def groups(rules: Iterable[Rule]) -> list[tuple[Rule, ...]]:
    """Rules by the rows they read; one with a subquery in its predicates stays alone, or it would run once for each."""
    found: dict[tuple[str, ...], list[Rule]] = {}
    for rule in rules:
        alone = rule.rule_id if SUBQUERY.search(_predicates(rule)) else ""
        key = (rule.table, rule.joins, rule.places, rule.centre, alone)
        found.setdefault(key, []).append(rule)
    return [tuple(group) for group in found.values()]


def by_subject(group: Sequence[Rule]) -> bool:
    """Whether each row of a group is judged by rows of its own subject. A rule about a centre says so (`about`)."""
    tables = [study.tables().get(name) for rule in group for name in tables_named(rule)]
    own = all(table is not None and table.by == "subject" for table in tables)
    return own and all(rule.about is None for rule in group)


def tables_named(rule: Rule) -> set[str]:
    """The tables that a rule reads: of the patients' data, and of what was received the day of a row's own delivery."""
    named = {rule.table, *rule.reads, *NAMED.findall(f"{rule.joins} {rule.places} {_predicates(rule)}")}
    return {name for name in named if not name.startswith("study.")} - {"staged.received"}


def _predicates(rule: Rule) -> str:
    return f"{rule.applies_when} {rule.fails_when} {rule.unknown_when}"


def failing(group: Sequence[Rule], languages: Mapping[str, str]) -> str:
    """The select that yields every failing row of rules that read the same rows, columns as `FAILURES`.

    `languages`: centre -> language of its `local_` texts; English for a centre that is not named.
    """
    wheres = [_breaks(rule) for rule in group]
    cells = [_cells(rule, languages) for rule in group]
    rows = f"{source(group[0].table, group[0].joins)} {group[0].places} where {' or '.join(wheres)}"
    if len(group) == 1:
        return f"select {', '.join(cells[0])} from {rows}"
    # only rows that break one of the rules come this far, so that no text is made for the others
    made = ", ".join(_failure(where, row) for where, row in zip(wheres, cells, strict=True))
    listed = ", ".join(f"failure.{c}" for c in FAILURES)
    return f"select {listed} from (select unnest([{made}]) as failure from {rows}) where failure is not null"


def _failure(where: str, cells: Sequence[str]) -> str:
    made = ", ".join(f"{c} := ({sql})::varchar" for c, sql in zip(FAILURES, cells, strict=True))
    return f"case when {where} then struct_pack({made}) end"


def source(table: str, joins: str) -> str:
    """What stands after `from`: the checked rows, what is joined to them, and the protocol."""
    return f"{table} t {joins.strip()} cross join study.protocol p"


def _breaks(rule: Rule) -> str:
    if rule.raised_by:
        return f"(t.rule_id = {lit(rule.rule_id)})"
    return f"(({rule.applies_when}) and (({rule.unknown_when}) or ({rule.fails_when})))"


def _cells(rule: Rule, languages: Mapping[str, str]) -> list[str]:
    """The SQL of every column of a failing row, in the order of `FAILURES`."""
    if rule.raised_by:
        table, centre, outcome = "'staged.' || t.table_name", "t.centre", "'fail'"
        record = ["t.usubjid", "t.record_key", "t.field"]
        place = [f"t.{c}" for c in PLACE]
    else:
        columns = table_columns(rule.table)
        table, centre = lit(rule.table), rule.centre
        outcome = f"case when {rule.unknown_when} then 'unknown' else 'fail' end"
        key = ", ".join(f"coalesce(({k})::varchar, '')" for k in rule.record_key)
        subject = "t.usubjid" if "usubjid" in columns and rule.about != "centre" else "null::varchar"
        if isinstance(rule.about, Mapping):
            subject = f"case when not ({rule.about['centre_when']}) then {subject} end"
        record = [subject, f"concat_ws('|', {key})", lit(rule.fields[0])]
        held = ([f"{a}.{c}" for a in rule.provenance if a != "t" or c in columns] for c in PLACE)
        place = [f"coalesce({', '.join([*sources, 'null'])})::varchar" for sources in held]
    texts = {language: (_expected(rule, language), *_texts(rule, language)) for language in LANGUAGES}
    local = [_local(centre, languages, words) for words in zip(*texts.values(), strict=True)]
    expected, *worded = texts["en"]
    return [
        lit(rule.rule_id), table, centre, *record, _value(rule), expected, outcome, *worded, *local,
        lit(rule.severity), lit(rule.category), *place,
    ]  # fmt: skip


def _local(centre: str, languages: Mapping[str, str], words: Sequence[str]) -> str:
    """The text in the language of the row's centre; `words` in the order of `LANGUAGES`, English first."""
    english, *others = words
    cases = ""
    for language, sql in zip(LANGUAGES[1:], others, strict=True):
        speaking = ", ".join(lit(name) for name, spoken in languages.items() if spoken == language)
        cases += f" when {centre} in ({speaking}) then {sql}" if speaking and sql != english else ""
    return f"case{cases} else {english} end" if cases else english


def _value(rule: Rule) -> str:
    return "t.value_received" if rule.raised_by else f"shown({rule.value or f't.{rule.fields[0]}'})"


def _said(rule: Rule, column: str, language: str) -> str:
    """SQL of a column of the table in a text."""
    return in_words(f"shown(t.{column})", codelist_of(column, rule.table), language)


def _asked_about(rule: Rule) -> str:
    """The code list of what a rule asks about: of its value where that is a column, or of its field."""
    column = COLUMN.fullmatch(rule.value or "")
    return codelist_of(column[1] if column else rule.fields[0], rule.table) if rule.fields else ""


def _expected(rule: Rule, language: str) -> str:
    if not rule.expected:
        return "(t.expected)::varchar" if rule.raised_by else "(null)::varchar"
    return in_words(f"({rule.expected[language]})::varchar", _asked_about(rule), language)


def _texts(rule: Rule, language: str) -> tuple[str, str]:
    """Message and suggestion; placeholders are filled in by SQL, and an empty value reads `not given`."""
    value = in_words(_value(rule), _asked_about(rule), language)
    special = {"value": value, "expected": _expected(rule, language)}
    special |= {name: f"({sql[language]})::varchar" for name, sql in rule.words.items()}
    parts = []
    for i, text in enumerate(PLACEHOLDER.split(rule.message[language])):
        if text:
            filled = f"coalesce({special.get(text) or _said(rule, text, language)}, {lit(NOT_GIVEN[language])})"
            parts.append(filled if i % 2 else lit(text))
    return " || ".join(parts), lit(rule.suggestion[language])
