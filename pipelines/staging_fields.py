"""One field of a mapping as SQL: its text, its typed value, and what a finding says when the text is unusable."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pipelines import study
from pipelines.mapping import BOX, CHECKED, COMPLETE, TICKED, UNCHECKED, UNITS, Centre, Field, box_column
from pipelines.staging_numbers import BOUNDS, NUMBERS, WHOLE, millionths, product
from pipelines.staging_words import with_months
from pipelines.study import sql_literal as lit

WIDE = "decimal(18,6)"  # numbers before a rollup; rounded half-up to the staged scale at its end
WORDS = {"%Y": "YYYY", "%y": "YY", "%m": "MM", "%d": "DD", "%H": "hh", "%M": "mm", "%S": "ss", "%b": "MON",
         "serial": "a spreadsheet's day number"}  # fmt: skip
MOST_WORDS = 20
MACROS = """
    -- a text of another shape is not tried, because each trial that fails writes an error text first
    create temp macro as_day(t, f, shape) as
        -- serial: 1954 to 2099, so that a year is none; %Y would read 28/02/14 as a day of the year 14; a spreadsheet
        -- writes an empty cell as 01/01/1900, and small numbers as the days after it
        case when f = 'serial' then case when regexp_full_match(t, '[2-7]\\d{4}') and try_cast(t as integer) <= 73050
                then date '1899-12-30' + try_cast(t as integer) end
            when regexp_full_match(t, shape) and try_strptime(t, f) > timestamp '1900-02-28'
                then try_strptime(t, f)::date end;
"""


@dataclass(frozen=True)
class FieldSql:
    """`text` and `unit` read raw columns; `value`, `rule` and `expected` read them as `_r<i>` and `_u<i>`."""

    name: str
    text: str
    unit: str | None
    value: str
    rule: str
    expected: str
    known: tuple[str, ...] = ()

    def is_bad(self, i: int) -> str:
        """True where there is a text, the text is not known to mean nothing, and it gives no value."""
        nothing = f" and _r{i} not in ({', '.join(lit(k) for k in self.known)})" if self.known else ""
        return f"(_r{i} is not null and _v{i} is null{nothing})"


def quote(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def compile_field(
    centre: Centre, table: str, f: Field, i: int, choices: Mapping[str, Mapping[str, str | None]], wide: bool
) -> FieldSql:
    """The SQL of one field, the i-th of its part.

    `choices`: raw column -> code -> label, of the REDCap dictionary of this delivery. `wide`: keep six decimals for a
    rollup. Texts come trimmed, and NULL where they are blank or one of the centre's words for missing.
    """
    if "constant" in f.spec:
        value = f"{lit(str(f.spec['constant']))}::{sql_type(table, f, wide)}"
        return FieldSql(f.name, "null::varchar", None, value, "null", "null")
    if "from_checkbox" in f.spec:
        return _checkbox(f, i)
    text, mapped = text_sql(f), f"_r{i}"
    mapping = _mapping(f, choices)
    if mapping is not None:
        cases = " ".join(f"when {lit(k)} then {lit(v)}" for k, v in mapping.items() if v is not None)
        mapped = f"case _r{i} {cases} end" if cases else "null::varchar"
    value, rule, expected = _typed(centre, table, f, i, mapped, wide)
    if mapping is not None:
        rule, expected = "'structure/unmapped_code'", _one_of(_labels(f, mapping))
    known = tuple(k for k, v in (mapping or {}).items() if v is None)
    unit = quote(f.spec["unit_from"]) if "unit_from" in f.spec else None
    words = _below(centre, table, f, i, expected) if mapping is None else lit(expected)
    return FieldSql(f.name, text, unit, value, rule, words, known)


def _below(centre: Centre, table: str, f: Field, i: int, expected: str) -> str:
    """SQL of what is expected: below a bound, where the text is a number and only too large for its column."""
    decimal, bound = f.spec.get("decimal", centre.decimal), BOUNDS.get(sql_type(table, f, wide=False))
    if bound is None or f.type not in ("quantity", "int") or {"product", "unit_from"} & f.spec.keys():
        return lit(expected)
    pattern = WHOLE[decimal] if f.type == "int" else NUMBERS[decimal]
    columns = study.staged_columns(table)
    units = UNITS.get((columns[f.name].unit if f.name in columns else "") or "", {})
    own = bound / Fraction(units.get(f.spec.get("unit", ""), "1")) / Fraction(f.spec.get("times", "1"))
    too_large = lit(f"a number below {int(own)}")
    return f"case when regexp_full_match(_r{i}, {lit(pattern)}) then {too_large} else {lit(expected)} end"


def sql_type(table: str, f: Field, wide: bool) -> str:
    """The SQL type of a field's value: that of its staged column, or of its own type for a helper."""
    columns = study.staged_columns(table)
    kind = f.type
    if f.type == "dose_text":
        kind = "int" if f.spec["take"] == "fractions" else "quantity"
    if kind == "quantity" and wide:
        return WIDE
    return columns[f.name].sql_type if f.name in columns else study.SQL_TYPES[kind]


def text_sql(f: Field) -> str:
    """The SQL of a field's text, from the raw columns."""
    if "product" in f.spec:
        return f"nullif(concat_ws(' | ', {', '.join(quote(c) for c in f.columns if c != f.spec.get('unit_from'))}), '')"
    if "first_of" in f.spec:
        return f"coalesce({', '.join(quote(c) for c in f.spec['first_of'])})"
    source = f.spec["from"]
    if isinstance(source, str):
        return quote(source)
    # || gives NULL where a part is blank: half an identifier is none
    return f" || {lit(f.spec.get('join', '-'))} || ".join(quote(c) for c in source)


def _mapping(f: Field, choices: Mapping[str, Mapping[str, str | None]]) -> Mapping[str, str | None] | None:
    """Text -> value; with a dictionary, its codes stand for their labels and the labels for themselves."""
    if "choices" not in f.spec:
        return f.map
    labels = choices.get(f.columns[0], {})
    told = {code: label for code, label in labels.items() if label}
    decoded = {label: label for label in told.values()} | told
    if f.map is None:
        return decoded
    found = {text: f.map[label] for text, label in decoded.items() if label in f.map}
    return {**{k: v for k, v in f.map.items() if k not in labels}, **found}


def _labels(f: Field, mapping: Mapping[str, str | None]) -> Sequence[str]:
    return [k for k, v in (f.map or mapping).items() if v is not None]


def _one_of(words: Sequence[str]) -> str:
    more = ", …" if len(words) > MOST_WORDS else ""
    return "one of: " + ", ".join(words[:MOST_WORDS]) + more


def _typed(centre: Centre, table: str, f: Field, i: int, text: str, wide: bool) -> tuple[str, str, str]:
    """Value, rule and expectation of a text by the field's type."""
    if f.type == "int":
        pattern = lit(WHOLE[f.spec.get("decimal", centre.decimal)])
        return f"as_int({text}, {pattern})", "'structure/unreadable_number'", "a whole number"
    if f.type == "date":
        return _date(centre, f, text)
    if f.type == "dose_text":
        value = {"fractions": "{}.n", "total": "dose_gray({}.t)", "per_fraction": "dose_gray({}.d)"}[f.spec["take"]]
        cast = f"try_cast({value.format(f'dose_schedule({text})')} as {sql_type(table, f, wide)})"
        return cast, "'structure/unreadable_dose'", "one schedule with its unit, such as 5x7,5 Gy or 37,5 Gy in 5 fr"
    if f.type == "flag":
        if f.map is not None:
            return text, "", ""
        yes, no = (", ".join(lit(v) for v in f.spec[k]) for k in ("yes", "no"))
        value = f"case when {text} in ({yes}) then 'Y' when {text} in ({no}) then 'N' end"
        return value, "'structure/unreadable_flag'", _one_of([*f.spec["yes"], *f.spec["no"]])
    if f.type == "quantity":
        return _quantity(centre, table, f, i, text, wide)
    if "matches" in f.spec:
        value = f"case when regexp_full_match({text}, {lit(f.spec['matches'])}) then {text} end"
        return value, "'structure/damaged_id'", f"an identifier of this shape: {f.spec['matches']}"
    columns = study.staged_columns(table)
    codelist = columns[f.name].codelist if f.name in columns else None
    if f.type == "code" and codelist and f.map is None:
        codes = study.codelist(codelist)
        value = f"case when {text} in ({', '.join(lit(c) for c in codes)}) then {text} end"
        return value, "'structure/unmapped_code'", _one_of(codes)
    return text, "null", ""


def _date(centre: Centre, f: Field, text: str) -> tuple[str, str, str]:
    """A day by the declared formats; one that is partly known has no value, and its own rule where that may be."""
    formats, partial = f.spec.get("formats") or centre.formats, f.spec.get("partial", False)
    named = partial or any("%b" in each for each in formats)

    def day(of: str) -> str:
        return f"coalesce({', '.join(f'as_day({of}, {lit(each)}, {lit(_shape(each))})' for each in formats)}, null)"

    expected = "a date as " + " or ".join(map(_words, formats))
    # as nearly all are: neither a month by name nor a part is missing, and both are slow to look for
    plain = f"when regexp_full_match({text}, '\\d+([-/. ]\\d+){{2}}') then {day(text)}"
    if named:
        text = with_months(text, f.spec.get("months") or centre.months)
    if not partial:
        value = f"case {plain} else {day(text)} end" if named else day(text)
        return value, "'structure/unreadable_date'", expected
    # without a day there is none, whatever else four digits could mean
    value = f"case {plain} when partial_lower({text}) is null then {day(text)} end"
    rule = f"case when partial_lower({text}) is null then 'structure/unreadable_date' else 'structure/partial_date' end"
    return value, rule, expected


def _checkbox(f: Field, i: int) -> FieldSql:
    """The boxes of a REDCap field: what a ticked one stands for, or whether one of them is ticked.

    A form without any tick may never have been answered: then an empty box is no, where the form's state is complete.
    """
    checked, unchecked, complete = (", ".join(map(lit, words)) for words in (CHECKED, UNCHECKED, COMPLETE))
    rule, expected = "'structure/unreadable_flag'", _one_of([*CHECKED, *UNCHECKED])
    if "box" not in f.spec:
        boxes = ((box_column(f.spec["from_checkbox"], box), code) for box, code in (f.map or {}).items())
        cases = " ".join(f"when {lit(column)} then {lit(code)}" for column, code in boxes)
        value = f"case when {quote(TICKED)} in ({checked}) then case {quote(BOX)} {cases} end end"
        return FieldSql(f.name, quote(TICKED), None, value, rule, lit(expected))
    state = f.spec.get("complete")
    answered = [f"coalesce({quote(c)} in ({complete if c == state else checked}), false)" for c in f.beside]
    no = f"when _r{i} in ({unchecked}) and ({' or '.join(answered) or 'false'}) then 'N'"
    value = f"case when _r{i} in ({checked}) then 'Y' {no} end"
    return FieldSql(f.name, quote(f.columns[0]), None, value, rule, lit(expected), UNCHECKED)


def _quantity(centre: Centre, table: str, f: Field, i: int, text: str, wide: bool) -> tuple[str, str, str]:
    """Exact numbers in the staged column's unit; a unit that is not given or not known gives none."""
    decimal = f.spec.get("decimal", centre.decimal)
    columns = study.staged_columns(table)
    units = UNITS.get((columns[f.name].unit if f.name in columns else "") or "", {})
    times, kind = Fraction(f.spec.get("times", "1")), sql_type(table, f, wide)
    divisor = [quote(f.spec["divide_by"])] if "divide_by" in f.spec else []
    sample = "a number such as 12,5" if decimal == "," else "a number such as 12.5"

    def scaled(factor: Fraction) -> str:
        if "product" in f.spec:
            return product([quote(c) for c in f.spec["product"]], divisor, lit(NUMBERS[decimal]), factor, kind)
        number = f"as_number({text}, {lit(NUMBERS[decimal])})"
        if factor == 1:
            return f"try_cast({number} as {kind})"
        wide_number = f"try_cast({number} as decimal(26,6)) * {millionths(factor)}"
        return f"try_cast({wide_number} as {kind})"

    if "unit_from" not in f.spec:
        return scaled(times * Fraction(units.get(f.spec.get("unit", ""), "1"))), "'structure/unreadable_number'", sample
    cases = " ".join(f"when {lit(u)} then {scaled(times * Fraction(factor))}" for u, factor in units.items())
    rule = f"case when {scaled(times)} is null then 'structure/unreadable_number' else 'structure/missing_unit' end"
    return f"case _u{i} {cases} end", rule, f"{sample}, in {' or '.join(units)} ({f.spec['unit_from']})"


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
