"""What verbs must say beyond their schema: layouts without gaps, formats with a day, boxes that are there."""

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation

from pipelines import study
from pipelines.mapping import BOUNDS, SCALE, Centre, Columns, Field, Part, box_column
from pipelines.yaml_schema import Place, nearest

DATE_PARTS = (("%d",), ("%m", "%b"), ("%Y", "%y"))
HOLDS = {"date": "a date (YYYY-MM-DD)", "int": "a whole number", "quantity": f"a number with at most {SCALE} decimals"}
DOSE = {"total": "quantity", "per_fraction": "quantity", "fractions": "int"}


def source_mistakes(centre: Centre) -> Iterator[tuple[Place, str]]:
    """Dictionaries that are no source; layouts that leave a day out, share one, or rename what nothing names."""
    for name, source in centre.sources.items():
        place: Place = ("sources", name)
        if source.dictionary and source.dictionary not in centre.sources:
            close = nearest(source.dictionary, centre.sources)
            yield (*place, "dictionary"), f"{source.dictionary!r} is not one of the sources{close}"
        for column in sorted({*source.guard} & source.named):
            yield (
                (*place, "guard", column),
                "it never lands: only drop_rows may name it, by `in` and its harmless values",
            )
        expected = ""
        for i, layout in enumerate(source.layouts):
            here = (*place, "layouts", i)
            last = i + 1 == len(source.layouts)
            if not _is_day(layout.start) or not _is_day(layout.end):
                yield here, "from and until are days as YYYY-MM-DD"
                return
            if layout.start != expected:
                said = f"from must be {expected}, the day after the layout above ends" if i else "the first has no from"
                gap = "a gap" if i and (layout.start or "0") > expected else "an overlap" if i else "days before it"
                yield (*here, "from"), f"{said}: there is {gap}"
            if bool(layout.end) == last or (layout.end and layout.end < layout.start):
                said = "the last has no until: new deliveries come every day" if last else "until must follow from"
                yield (*here, "until"), said
            expected = str(date.fromisoformat(layout.end) + timedelta(days=1)) if layout.end else expected
            wanted = Columns(centre.columns(name).names | {*source.guard}, centre.columns(name).patterns)
            for old, new in layout.source.rename.items():
                if new not in wanted:
                    yield (
                        (*here, "rename", old),
                        f"{new!r} is not a column that the mapping names{nearest(new, wanted)}",
                    )
                if [*layout.source.rename.values()].count(new) > 1:
                    yield (*here, "rename", old), f"two columns cannot both become {new!r}"


def _is_day(text: str) -> bool:
    try:
        return not text or bool(date.fromisoformat(text))
    except ValueError:
        return False


def verb_mistakes(centre: Centre, table: str, part: Part, f: Field) -> Iterator[tuple[Place, str]]:
    """What `type`, `constant`, `formats`, `partial`, `matches`, `from_checkbox` and `dose_text` ask for in a field."""
    column = study.staged_columns(table).get(f.name)
    if column and f.type in study.SQL_TYPES and column.sql_type not in ("varchar", study.SQL_TYPES[f.type]):
        yield ("type",), f"{f.name!r} holds {HOLDS[column.type]}, which a field of type {f.type} is not"
    elif column and "constant" in f.spec and not _fits(str(f.spec["constant"]), column.type):
        yield ("constant",), f"{f.spec['constant']!r} is not {HOLDS[column.type]}, as {f.name!r} holds it"
    given = f.spec.get("formats")
    for i, each in enumerate(given or centre.formats if f.type == "date" else ()):
        if "%" in each and not all(any(code in each for code in codes) for codes in DATE_PARTS):
            place: Place = ("formats", i) if given else ()
            yield place, f"{each!r} lacks a day, month (%m, %b) or year: `partial: true` is for dates without a day"
    if "partial" in f.spec and f.type != "date":
        yield ("partial",), "only a date can be partial"
    if "matches" in f.spec and f.type not in ("id", "text"):
        yield ("matches",), "only an id or a text has a shape"
    if "from_checkbox" in f.spec:
        yield from _checkbox(part, f)
    if f.type == "dose_text":
        take = f.spec.get("take", "")
        if take not in DOSE:
            yield (), "a dose_text says what to take: total, fractions or per_fraction"
        elif column and (column.type != DOSE[take] or (column.type == "quantity" and column.unit != "Gy")):
            yield ("take",), f"{f.name!r} is not a column for {take} ({'number' if take == 'fractions' else 'in Gy'})"


def _fits(text: str, kind: str) -> bool:
    """Whether a constant is what a column of this type holds."""
    try:
        if kind == "date":
            return len(text) == len("2014-03-01") and bool(date.fromisoformat(text))
        if kind in ("int", "quantity"):
            value, places = Decimal(text), 10 ** (0 if kind == "int" else SCALE)
            return value * places % 1 == 0 and abs(value) < BOUNDS[study.SQL_TYPES[kind]]
    except (ValueError, InvalidOperation):
        return False
    return True


def rollup_mistakes(table: str, part: Part) -> Iterator[str]:
    """A rollup names fields that are there, each once, adds up numbers, and loses none that is staged."""
    known = study.staged_columns(table)
    there = wanted = {f.name for f in part.fields}
    texts = {f.name for f in part.fields if f.type not in ("int", "quantity", "dose_text")}
    for rollup in part.rollups:
        counted = set(rollup.get("count", ()))
        made = [c for verb, columns in rollup.items() if verb != "may_lack" for c in columns]
        named = {*made} - counted
        for name in sorted(named - there):
            yield f"{name!r} is not one of its fields{nearest(name, there)}"
        for name in sorted(counted - set(known)):
            yield f"{name!r} is not a column of {table!r}{nearest(name, known)}"
        for name in sorted({c for c in made if made.count(c) > 1}):
            yield f"{name!r} can only be one of by, sum, max, min, alike, first and count, and once"
        for name in sorted(texts.intersection(rollup.get("sum", ()))):
            yield f"{name!r} is no number that could be added up"
        there, wanted, texts = named | counted, wanted | counted, texts - counted
    for name in sorted(w for w in wanted - there if not w.startswith("_")):
        yield f"{name!r} is lost: say by, sum, max, min, alike or first"


def _checkbox(part: Part, f: Field) -> Iterator[tuple[Place, str]]:
    if "box" not in f.spec:
        if f.map is None:
            yield (), "from_checkbox needs a map (a row per ticked box), or box and boxes (a flag)"
        boxes = [box_column(f.spec["from_checkbox"], code) for code in f.map or {}]
        rows = [g for g in part.fields if "from_checkbox" in g.spec and "box" not in g.spec]
        if len(rows) > 1 or part.unpivot.get("columns") != boxes:
            yield ("from_checkbox",), "a part makes rows of one checkbox or of one unpivot, not of two"
    elif f.type != "flag":
        yield ("box",), "one box is a flag"
    elif f.spec["box"] not in f.spec.get("boxes", ()):
        known = f.spec.get("boxes", ())
        yield ("box",), f"{f.spec['box']!r} is not among boxes, all codes of the field{nearest(f.spec['box'], known)}"
