"""What a row holds and staging cannot use, as SQL: field by field, with its place where another source has it."""

from collections.abc import Mapping, Sequence

from pipelines.mapping import Centre, Part
from pipelines.staging_fields import FieldSql
from pipelines.study import sql_literal as lit

BAD = ("field", "staged_field", "value_received", "expected", "rule_id", "looked_in", "looked_at")


def unread(centre: Centre, part: Part, fields: Sequence[FieldSql], raw: Mapping[str, str]) -> str:
    """The fields of a row that hold a text and no value, as a JSON list (`BAD`); NULL where there is none.

    What another source says is asked where that has it: `looked_in` is the source, `looked_at` the number of its row.
    """
    structs, tests = [], []
    rename = centre.sources[part.source].rename
    renamed = " ".join(f"when {lit(new)} then {lit(old)}" for old, new in rename.items())
    for i, (field, sql) in enumerate(zip(part.fields, fields, strict=True)):
        if sql.rule in ("", "null"):
            continue
        tests.append(sql.is_bad(i))
        columns = [c for c in field.columns if c != field.spec.get("unit_from")]
        names = [raw.get(c, lit(_name_there(centre, part, c))) for c in columns]
        numbers = {part.taken[c][0] if c in part.taken else None for c in columns}
        looked = numbers.pop() if len(numbers) == 1 else None
        # a date that is partly known has bounds, which stay with each record
        place = (
            ("null", "null")
            if looked is None or field.spec.get("partial")
            else (lit(part.lookups[looked]["source"]), f"_at{looked}::varchar")
        )
        column = " || ', ' || ".join(f"(case {n} {renamed} else {n} end)" if renamed else n for n in names)
        structs.append(
            f"case when {sql.is_bad(i)} then {{'field': {column}, 'staged_field': {lit(field.name)}, "
            f"'value_received': _r{i}, 'expected': {sql.expected}, 'rule_id': {sql.rule}, "
            f"'looked_in': {place[0]}, 'looked_at': {place[1]}}} end"
        )
    # as text, because nearly every row has none and a nested column costs as much as five
    return (
        f"case when {' or '.join(tests)} then to_json([{', '.join(structs)}])::varchar end"
        if tests
        else "null::varchar"
    )


def _name_there(centre: Centre, part: Part, column: str) -> str:
    """The name that a column has in its file, where it comes from another source."""
    if column not in part.taken:
        return column
    number, there = part.taken[column]
    return centre.sources[part.lookups[number]["source"]].raw(there)
