"""Texts that say more than one thing, as SQL macros: dose schedules, partial dates and months by name."""

from collections.abc import Sequence

from pipelines.study import sql_literal as lit

MONTHS = {
    "en": {
        "Jan": "jan january", "Feb": "feb february", "Mar": "mar march", "Apr": "apr april", "May": "may",
        "Jun": "jun june", "Jul": "jul july", "Aug": "aug august", "Sep": "sep sept september", "Oct": "oct october",
        "Nov": "nov november", "Dec": "dec december",
    },
    "it": {
        "Jan": "gen gennaio", "Feb": "feb febbraio", "Mar": "mar marzo", "Apr": "apr aprile", "May": "mag maggio",
        "Jun": "giu giugno", "Jul": "lug luglio", "Aug": "ago agosto", "Sep": "set sett settembre",
        "Oct": "ott ottobre", "Nov": "nov novembre", "Dec": "dic dicembre",
    },
}  # fmt: skip
NOT_KNOWN = r"(?:un|unk|uk|nk|xx|\?\?|--)"  # what stands for a day or month that nobody knows
YEAR, MONTH, BETWEEN = r"((?:19|20)\d\d)", rf"(\d{{1,2}}|{'|'.join(m.lower() for m in MONTHS['en'])})", "[-/. ]"
PARTIAL = (
    rf"^(?:(?:{NOT_KNOWN}{BETWEEN})?{MONTH}{BETWEEN}{YEAR}|(?:{NOT_KNOWN}{BETWEEN}){{0,2}}{YEAR}"
    rf"|{YEAR}-(\d{{1,2}})(?:-{NOT_KNOWN})?|{YEAR}(?:-{NOT_KNOWN}){{1,2}})$"
)
PARTS = ["m1", "y1", "y2", "y3", "m2", "y4"]

# three decimals would be taken for thousands by the one and for thousandths by the other
NUMBER, WHOLE, UNIT = r"(\d+(?:[.,]\d{1,2})?)", r"(\d+)", r"\s*(c?gy)"
TIMES, FRACTIONS = r"\s*[x×*]\s*", r"\s*(?:fr\.?|fx\.?|frazion[ei]|fractions?|sedut[ae])"
SCHEDULES = {  # n fractions of d, t in all; the digit tells the forms apart
    rf"{WHOLE}{TIMES}{NUMBER}{UNIT}(?:\s*=\s*{NUMBER}{UNIT})?": ["n1", "d1", "ud1", "t1", "ut1"],
    rf"{NUMBER}{UNIT}{TIMES}{WHOLE}(?:{FRACTIONS})?(?:\s*=\s*{NUMBER}{UNIT})?": ["d2", "ud2", "n2", "t2", "ut2"],
    rf"{NUMBER}(?:{UNIT})?\s*/\s*{NUMBER}{UNIT}": ["t3", "ut3", "d3", "ud3"],
    rf"{NUMBER}{UNIT}(?:\s*/\s*|\s+in\s+){WHOLE}{FRACTIONS}(?:\s+(?:da|di|of)\s+{NUMBER}{UNIT})?": [
        "t4", "ut4", "n4", "d4", "ud4",
    ],
    rf"{NUMBER}{UNIT}\s*\({WHOLE}{TIMES}{NUMBER}{UNIT}\)": ["t5", "ut5", "n5", "d5", "ud5"],
}  # fmt: skip


def _group(letter: str) -> str:
    """The one group of a kind that took part; groups of the other forms are empty."""
    names = [n for names in SCHEDULES.values() for n in names if n.rstrip("12345") == letter]
    return " || ".join(f"g.{n}" for n in names)


def _gray(letter: str) -> str:
    # a total without a unit of its own has that of the dose it is divided by
    unit = f"coalesce(nullif({_group('u' + letter)}, ''), {_group('ud')})"
    number = f"try_cast(replace({_group(letter)}, ',', '.') as decimal(12,4))"
    return f"({number} * case {unit} when 'gy' then '1'::decimal(5,2) when 'cgy' then '0.01'::decimal(5,2) end)"


# whole ten-thousandths of a hundredth of a gray, because a quotient of decimals would become a float
MACROS = f"""
    create temp macro dose_micro(x) as (x::decimal(30,6) * 1000000)::hugeint;
    create temp macro dose_parts(s) as list_transform(
        [regexp_extract(lower(s), {lit("^(?:" + "|".join(SCHEDULES) + ")$")},
            {lit([n for names in SCHEDULES.values() for n in names])})],
        lambda g: {{
            'n': try_cast(nullif({_group("n")}, '') as bigint),
            'd': dose_micro({_gray("d")}), 't': dose_micro({_gray("t")})
        }}
    )[1];
    -- NULL unless fractions and dose agree with the total, where all are stated, and where what is stated has more
    -- decimals of a gray than are kept; a dose that no number of micrograys makes up is stated by total and fractions
    create temp macro dose_schedule(s) as list_transform([dose_parts(s)], lambda p: case
        when p.n = 0 or p.d = 0 or p.t = 0 then null
        when p.d % 1000 <> 0 or p.t % 1000 <> 0 then null
        when p.n is not null and p.d is not null and p.t is not null
            then case when p.n * p.d = p.t then {{'n': p.n, 'd': p.d, 't': p.t}} end
        when p.n is not null and p.d is not null then {{'n': p.n, 'd': p.d, 't': p.n * p.d}}
        when p.n is not null and p.t is not null then {{'n': p.n, 'd': (2 * p.t + p.n) // (2 * p.n), 't': p.t}}
        when p.t % p.d = 0 then {{'n': (p.t // p.d)::bigint, 'd': p.d, 't': p.t}}
    end)[1];
    create temp macro dose_gray(micro) as (micro::decimal(30,0) * '0.000001'::decimal(7,6));
    create temp macro partial_lower(s) as list_transform(
        [regexp_extract(lower(s), {lit(PARTIAL)}, {lit(PARTS)})],
        lambda g: coalesce(
            try_strptime(concat(g.y1, g.y2, g.y3, g.y4, '-', coalesce(nullif(g.m1 || g.m2, ''), '01')), '%Y-%m'),
            try_strptime(concat(g.y1, '-', g.m1), '%Y-%b'))::date
    )[1];
    create temp macro partial_precision(s) as
        case when regexp_full_match(lower(s), {lit(rf"(?:{NOT_KNOWN}{BETWEEN}){{0,2}}{YEAR}(?:-{NOT_KNOWN}){{0,2}}")})
            then 'year' else 'month' end;
    create temp macro partial_upper(s) as last_day(case partial_precision(s)
        when 'year' then partial_lower(s) + interval 11 month else partial_lower(s) end);
"""


def with_months(text: str, languages: Sequence[str]) -> str:
    """SQL of a text in which a month's name, long or short, is the English one that %b reads; any other word is `?`."""
    word = f"regexp_extract({text}, '[A-Za-z]{{3,}}')"
    names = {name: short for each in languages for short, names in MONTHS[each].items() for name in names.split()}
    listed = ", ".join(f"{lit(name)}: {lit(short)}" for name, short in {**names, "unk": "unk"}.items())
    # one constant, because fifty cases in each of many places take longer to plan than a small file to read
    return f"replace({text}, {word}, coalesce(map {{{listed}}}[lower({word})], '?'))"
