"""Numbers as SQL that stays exact: texts by the decimal sign that the mapping states, products, quotients and sums."""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

from pipelines import study
from pipelines.mapping import BOUNDS, SCALE, UNITS, Centre, Field
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
    -- no more decimals than `fits`; of the 17 digits of a double a workbook shows 15: 12.299999999999999 is 12.3
    create temp macro as_exact(t, pattern, fits) as case when regexp_full_match(t, pattern) then
        case when regexp_full_match(t, fits) then replace(t, ',', '.')
            when length(t) > 16
                then regexp_extract(format('{:.15g}', replace(t, ',', '.')::double), '^' || fits || '$') end end;
    create temp macro as_micro(t, pattern) as (try_cast(as_number(t, pattern) as decimal(12,6)) * 1000000)::bigint;
"""
MOST = 10**17  # of a product in 64 bits, doubled and with half a divisor on top


def units_of(table: str, f: Field) -> Mapping[str, str]:
    """What one of the centre's units is in that of the staged column."""
    columns = study.staged_columns(table)
    return UNITS.get((columns[f.name].unit if f.name in columns else "") or "", {})


def scale_of(wide: bool) -> int:
    """Decimals that a quantity may have: parts of a sum are rounded with it, not each."""
    return 2 * SCALE if wide else SCALE


def missing_with_unit(centre: Centre, table: str, f: Field) -> tuple[str, ...]:
    """The centre's numbers for missing with a unit behind them, as a file that states units has them: -99 mm."""
    units = {*units_of(table, f), f.spec.get("unit", "")} - {""} if f.type in ("quantity", "int") else set()
    numbers = (word for word in centre.missing if any(map(str.isdigit, word)))
    return tuple(f"{word} {unit}" for word in numbers for unit in sorted(units))


def millionths(factor: Fraction) -> str:
    """A factor as an SQL decimal of six digits."""
    whole = int(factor * 10**6)
    return f"'{whole // 10**6}.{whole % 10**6:06d}'::decimal(12,6)"


def decimals(factor: Fraction, scale: int) -> int | None:
    """How many decimals a number may have that a quantity of a scale holds, times the factor; None: no such number."""
    return next((scale + k for k in range(-SCALE, SCALE + 1) if factor == Fraction(10) ** k), None)


def exact(text: str, decimal: str, factor: Fraction, kind: str, scale: int) -> str:
    """SQL of a text times a factor, NULL where a quantity of that scale would have to round it."""
    most = decimals(factor, scale)
    fits = rf"[^.,e]*([.,]\d{{0,{2 * SCALE if most is None else most}}}0*)?"
    number = f"as_exact({text}, {lit(NUMBERS[decimal])}, {lit(fits)})"
    if factor == 1:
        return f"try_cast({number} as {kind})"
    scaled = f"try_cast({number} as decimal(26,6)) * {millionths(factor)}"
    cast = f"try_cast({scaled} as {kind})"
    return cast if most is not None else f"case when {scaled} = {cast} then {cast} end"


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


def expected_number(table: str, f: Field, i: int, decimal: str, bound: int, scale: int, expected: str) -> str:
    """SQL of what is expected of a text that gives no number: below the bound of its column, or of fewer decimals than
    the scale, where it is a number that lacks only that."""
    pattern = WHOLE[decimal] if f.type == "int" else NUMBERS[decimal]
    times, units = Fraction(f.spec.get("times", "1")), units_of(table, f)

    def told(factor: Fraction) -> str:
        too_large = lit(f"a number below {int(bound / factor)}")
        if f.type == "int":
            return too_large
        most = decimals(factor, scale)
        fewer = f"a number with at most {scale if most is None else most} decimal{'' if most == 1 else 's'}"
        fewer += f", once multiplied by {factor}" if most is None else ""
        large = f"abs(try_cast(replace(_r{i}, ',', '.') as double)) >= {int(bound / factor)}"
        return f"case when {large} then {too_large} else {lit(fewer)} end"

    words = told(times * Fraction(units.get(f.spec.get("unit", ""), "1")))
    if "unit_from" in f.spec:
        cases = " ".join(f"when {lit(u)} then {told(times * Fraction(factor))}" for u, factor in units.items())
        words = f"case _u{i} {cases} else {lit(expected)} end"
    return f"case when regexp_full_match(_r{i}, {lit(pattern)}) then {words} else {lit(expected)} end"


def or_with_unit(text: str, units: Mapping[str, str], read: Callable[[str, str], str], own: str) -> str:
    """SQL of a number, by the factor `own`, or of one with a unit behind it that says another."""
    cases = "".join(
        f" when ends_with({text}, {lit(f' {unit}')}) then {read(f'left({text}, {-len(unit) - 1})', factor)}"
        for unit, factor in units.items()
        if unit
    )
    return f"coalesce({read(text, own)}, case{cases} end)" if cases else read(text, own)


def beyond(types: Mapping[str, str], raw: Mapping[str, str], differing: Mapping[str, tuple[str, str]]) -> str:
    """SQL of what rolled up columns hold beyond the bound of their type, and of what differs in rows that should be
    alike, as `staging_unread.BAD` in JSON, else NULL.

    `types`: column -> SQL type; `raw`: column -> the raw columns that it is made of; `differing`: column -> the SQL of
    its least and its greatest value.
    """
    told = [
        (
            c,
            f"{c} is not null and try_cast({c} as {kind}) is null",
            _plain(c),
            f"a number below {BOUNDS[kind]}",
            "unreadable_number",
        )
        for c, kind in types.items()
        if kind in BOUNDS
    ]
    told += [
        (
            c,
            f"{least} is not null",
            f"concat({_plain(least)}, ' | ', {_plain(greatest)})",
            "the same value in each of these rows",
            "rows_differ",
        )
        for c, (least, greatest) in differing.items()
    ]
    if not told:
        return "null::varchar"
    structs = [
        f"case when {is_bad} then {{'field': {lit(raw.get(c, c))}, 'staged_field': {lit(c)}, "
        f"'value_received': {value}, "
        f"'expected': {lit(expected)}, 'rule_id': {lit(f'structure/{rule}')}}} end"
        for c, is_bad, value, expected, rule in told
    ]
    return (
        f"case when {' or '.join(is_bad for _, is_bad, *_ in told)} then to_json([{', '.join(structs)}])::varchar end"
    )


def _plain(number: str) -> str:
    """Without the zeros of its scale."""
    return rf"regexp_replace(regexp_replace({number}::varchar, '(\.\d*?)0+$', '\1'), '\.$', '')"
