"""One field of a mapping as SQL: its text, its typed value, and what a finding says when the text is unusable."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from pipelines import study
from pipelines.mapping import BOUNDS, BOX, CHECKED, COMPLETE, TICKED, UNCHECKED, Centre, Field, box_column
from pipelines.staging_dates import day_of, expected_day
from pipelines.staging_numbers import (
    NUMBERS,
    WHOLE,
    exact,
    expected_number,
    missing_with_unit,
    or_with_unit,
    product,
    scale_of,
    units_of,
)
from pipelines.study import sql_literal as lit

WIDE = "decimal(18,6)"  # numbers before a rollup; rounded half-up to the staged scale at its end
MOST_WORDS = 20


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


def formats_of(centre: Centre, f: Field) -> Sequence[str]:
    """The formats in which a field's dates may come."""
    return f.spec.get("formats") or centre.formats


def months_of(centre: Centre, f: Field) -> Sequence[str]:
    """The languages of a field's months by name; none where it has no such months."""
    named = f.spec.get("partial", False) or any("%b" in each for each in formats_of(centre, f))
    return (f.spec.get("months") or centre.months) if named else ()


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
    if mapping is None and (nothing := missing_with_unit(centre, table, f)):
        value, known = f"case when _r{i} not in ({', '.join(map(lit, nothing))}) then {value} end", nothing
    unit = quote(f.spec["unit_from"]) if "unit_from" in f.spec else None
    words = _said(centre, table, f, i, expected, wide) if mapping is None else lit(expected)
    return FieldSql(f.name, text, unit, value, rule, words, known)


def _said(centre: Centre, table: str, f: Field, i: int, expected: str, wide: bool) -> str:
    """SQL of what is expected: below a bound, or of fewer decimals, where the text is a number that lacks only that; a
    day that there is, where it is written as one."""
    if f.type == "date":
        return expected_day(formats_of(centre, f), months_of(centre, f), f"_r{i}", expected)
    decimal, bound = f.spec.get("decimal", centre.decimal), BOUNDS.get(sql_type(table, f, wide=False))
    if "product" in f.spec:
        # the texts of a product that are there can all be numbers
        blank = (f"case when {quote(c)} is null then {lit(c)} end" for c in f.columns if c != f.spec.get("unit_from"))
        return f"coalesce('a number in ' || nullif(concat_ws(', ', {', '.join(blank)}), ''), {lit(expected)})"
    if bound is None or f.type not in ("quantity", "int"):
        return lit(expected)
    return expected_number(table, f, i, decimal, bound, scale_of(wide), expected)


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
        value = or_with_unit(text, {f.spec.get("unit", ""): "1"}, lambda of, _: f"as_int({of}, {pattern})", "1")
        return value, "'structure/unreadable_number'", "a whole number"
    if f.type == "date":
        return day_of(formats_of(centre, f), months_of(centre, f), f.spec.get("partial", False), text)
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
        return value, "'structure/damaged_id'", _shaped(f.spec["matches"])
    columns = study.staged_columns(table)
    codelist = columns[f.name].codelist if f.name in columns else None
    if f.type == "code" and codelist and f.map is None:
        codes = study.codelist(codelist)
        value = f"case when {text} in ({', '.join(lit(c) for c in codes)}) then {text} end"
        return value, "'structure/unmapped_code'", _one_of(codes)
    return text, "null", ""


def _shaped(pattern: str) -> str:
    """A regular expression in words, where it asks for digits."""
    digits = re.fullmatch(r"(?:\\d|\[0-9\])(?:\+|\{(\d+)(,?)(\d*)\})", pattern)
    if not digits:
        return "an identifier of the agreed form"
    least, more, most = digits.groups()
    if not least:
        return "an identifier of digits alone"
    return f"an identifier of {least}{f' to {most}' if most else ''} digits{' or more' if more and not most else ''}"


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
    units, times, kind = units_of(table, f), Fraction(f.spec.get("times", "1")), sql_type(table, f, wide)
    own = f.spec.get("unit", "")
    divisor = [quote(f.spec["divide_by"])] if "divide_by" in f.spec else []
    sample = "a number such as 12,5" if decimal == "," else "a number such as 12.5"

    def scaled(factor: Fraction, of: str = text) -> str:
        if "product" in f.spec:
            return product([quote(c) for c in f.spec["product"]], divisor, lit(NUMBERS[decimal]), factor, kind)
        return exact(of, decimal, factor, kind, scale_of(wide))

    if "unit_from" not in f.spec:
        behind = {} if "product" in f.spec else units or {own: "1"}
        value = or_with_unit(text, behind, lambda of, u: scaled(times * Fraction(u), of), units.get(own, "1"))
        return value, "'structure/unreadable_number'", sample

    def beside(unit: str) -> str:
        behind = {} if "product" in f.spec else {unit: units[unit]}  # the same one may stand there again
        return or_with_unit(text, behind, lambda of, factor: scaled(times * Fraction(factor), of), units[unit])

    cases = " ".join(f"when {lit(u)} then {beside(u)}" for u in units)
    known = f"_u{i} in ({', '.join(map(lit, units))}) or {scaled(times)} is null"
    rule = f"case when {known} then 'structure/unreadable_number' else 'structure/missing_unit' end"
    return f"case _u{i} {cases} end", rule, f"{sample}, in {' or '.join(units)} ({f.spec['unit_from']})"
