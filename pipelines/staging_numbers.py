"""Numbers as SQL that stays exact: texts by the decimal sign that the mapping states, products, quotients and sums."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from pipelines.study import SQL_TYPES
from pipelines.study import sql_literal as lit

NUMBERS = {
    ".": r"[+-]?\d+(\.\d+)?",
    ",": r"[+-]?\d+(,\d+)?",
    # where the sign may be either, 1.234 and 1,234 may be thousands
    "either": r"[+-]?(\d+([.,](\d{1,2}|\d{4,}))?|(0+|0\d+|\d{4,})[.,]\d{3})",
}
# of whole numbers, which may come with zeros behind the sign: three of them are thousands, but behind the sign stated
ZEROS = "[.,](?:0{1,2}|0{4,})"
WHOLE = {sign: rf"^([+-]?\d+)(?:{ZEROS}{more})?$" for sign, more in ((".", r"|\.000"), (",", "|,000"), ("either", ""))}
MACROS = """
    create temp macro as_int(t, pattern) as try_cast(regexp_extract(t, pattern, 1) as integer);
    create temp macro as_number(t, pattern) as case when regexp_full_match(t, pattern) then replace(t, ',', '.') end;
    create temp macro as_micro(t, pattern) as (try_cast(as_number(t, pattern) as decimal(12,6)) * 1000000)::bigint;
"""
MOST = 10**17  # of a product in 64 bits, doubled and with half a divisor on top

BOUNDS = {SQL_TYPES["quantity"]: 10**6, SQL_TYPES["int"]: 2**31}  # of a staged number, by the type of its column


def millionths(factor: Fraction) -> str:
    """A factor as an SQL decimal of six digits."""
    whole = int(factor * 10**6)
    return f"'{whole // 10**6}.{whole % 10**6:06d}'::decimal(12,6)"


def product(columns: Sequence[str], divisors: Sequence[str], pattern: str, factor: Fraction, kind: str) -> str:
    """SQL of columns multiplied, over at most one divisor, times a factor, rounded half up.

    In whole millionths, because a quotient of decimals would become a float; where 64 bits hold them they are used,
    because 128 take five times as long.
    """
    above, below = ([f"as_micro({c}, {pattern})" for c in each] for each in (columns, divisors))
    # n factors hold n millions; the divisor takes one away and the result keeps one
    factor /= Fraction(10) ** (6 * (len(above) - 1 - len(below)))
    most = int((MOST // factor.numerator) ** (1 / len(above)))
    fits = [f"abs({each}) <= {most}" for each in above]
    fits += [f"abs({each}) <= {MOST // factor.denominator}" for each in below]

    def rounded(whole: str, digits: int) -> str:
        over = " * ".join([f"{factor.numerator}::{whole}", *above])
        under = " * ".join([f"{factor.denominator}::{whole}", *below])
        quotient = f"(2 * {over} + {under}) // nullif(2 * {under}, 0)"
        return f"try_cast(({quotient})::decimal({digits},0) * '0.000001'::decimal(7,6) as {kind})"

    return f"case when {' and '.join(fits)} then {rounded('bigint', 18)} else {rounded('hugeint', 30)} end"


def beyond(types: Mapping[str, str], raw: Mapping[str, str]) -> str:
    """SQL of what rolled up columns hold beyond the bound of their type, as `staging_unread.BAD` in JSON, else NULL.

    `types`: column -> SQL type; `raw`: column -> the raw columns that it is made of.
    """
    over = {c: f"{c} is not null and try_cast({c} as {kind}) is null" for c, kind in types.items() if kind in BOUNDS}
    if not over:
        return "null::varchar"
    structs = [
        f"case when {is_over} then {{'field': {lit(raw.get(c, c))}, 'staged_field': {lit(c)}, 'value_received': "
        # without the zeros of its scale
        rf"regexp_replace(regexp_replace({c}::varchar, '(\.\d*?)0+$', '\1'), '\.$', ''), 'expected': "
        f"{lit(f'a number below {BOUNDS[types[c]]}')}, 'rule_id': 'structure/unreadable_number'}} end"
        for c, is_over in over.items()
    ]
    return f"case when {' or '.join(over.values())} then to_json([{', '.join(structs)}])::varchar end"
