"""Days as SQL: how a text is read by the formats of a mapping, and what is said of one that cannot be."""

import re
from collections.abc import Sequence

from pipelines.staging_words import with_months
from pipelines.study import sql_literal as lit

WORDS = {"%Y": "YYYY", "%y": "YY", "%m": "MM", "%d": "DD", "%H": "hh", "%M": "mm", "%S": "ss", "%b": "MON"}
LATEST_EMPTY = "1900-02-28"  # a spreadsheet writes an empty cell as 01/01/1900, and small numbers as the days after it
MACROS = f"""
    -- a text of another shape is not tried, because each trial that fails writes an error text first
    create temp macro as_day(t, f, shape) as
        -- serial: 1954 to 2099, so that a year is none; %Y would read 28/02/14 as a day of the year 14
        case when f = 'serial' then case when regexp_full_match(t, '[2-7]\\d{{4}}') and try_cast(t as integer) <= 73050
                then date '1899-12-30' + try_cast(t as integer) end
            when regexp_full_match(t, shape) and try_strptime(t, f) > timestamp '{LATEST_EMPTY}'
                then try_strptime(t, f)::date end;
"""


def day_of(formats: Sequence[str], months: Sequence[str], partial: bool, text: str) -> tuple[str, str, str]:
    """Value, rule and expectation of a day; one partly known has no value, and its own rule where that may be."""

    def day(of: str) -> str:
        return f"coalesce({', '.join(f'as_day({of}, {lit(each)}, {lit(_shape(each))})' for each in formats)}, null)"

    # a number for a day is what a spreadsheet makes of one, and nothing that a person enters
    written = [each for each in formats if each != "serial"]
    expected = "a date as " + " or ".join(map(_words, written)) if written else "a spreadsheet's number of a day"
    # as nearly all are: neither a month by name nor a part is missing, and both are slow to look for
    plain = f"when regexp_full_match({text}, '\\d+([-/. ]\\d+){{2}}') then {day(text)}"
    if months:
        text = with_months(text, months)
    if not partial:
        value = f"case {plain} else {day(text)} end" if months else day(text)
        return value, "'structure/unreadable_date'", expected
    # without a day there is none, whatever else four digits could mean
    value = f"case {plain} when partial_lower({text}) is null then {day(text)} end"
    rule = f"case when partial_lower({text}) is null then 'structure/unreadable_date' else 'structure/partial_date' end"
    return value, rule, expected


def expected_day(formats: Sequence[str], months: Sequence[str], text: str, expected: str) -> str:
    """SQL of what is expected of a text that gives no day: one that there is, or a later one, where it is written as
    agreed."""
    if months:
        text = with_months(text, months)
    written = [(each, f"regexp_full_match({text}, {lit(_shape(each))})") for each in formats if each != "serial"]
    if not written:
        return lit(expected)
    form = expected.removeprefix("a date as ")
    early = " or ".join(f"{fits} and try_strptime({text}, {lit(each)}) is not null" for each, fits in written)
    return (
        f"case when {early} then {lit(f'a date after {LATEST_EMPTY}, as {form}')} "
        f"when {' or '.join(fits for _, fits in written)} then {lit(f'a date that exists, as {form}')} "
        f"else {lit(expected)} end"
    )


def _shape(date_format: str) -> str:
    """The regular expression of the texts that a format can read."""
    one_or_two = dict.fromkeys(("%d", "%m", "%H", "%M", "%S"), r"\d{1,2}")
    codes = {"%Y": r"\d{4}", "%y": r"\d{2}", "%b": "[A-Za-z]{3}", **one_or_two}
    parts = re.findall("%.|[^%]", date_format)
    return "".join(codes.get(p, ".+" if p[0] == "%" else re.escape(p)) for p in parts)


def _words(date_format: str) -> str:
    for code, word in WORDS.items():
        date_format = date_format.replace(code, word)
    return date_format
