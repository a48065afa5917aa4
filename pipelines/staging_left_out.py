"""What is asked about rows that were received and not used, as SQL, one finding for many."""

from collections.abc import Iterator

from pipelines.mapping import Centre, Source
from pipelines.staging_fields import quote
from pipelines.staging_rows import condition
from pipelines.study import sql_literal as lit


def left_out(centre: Centre, name: str, head: str) -> list[str]:
    """The selects of one source: columns as of `staging_findings.FINDING`."""
    contested = _contested(centre, name, centre.sources[name], head)
    return [*contested, *_unused(centre, name, head), *_below_footer(centre, name, head)]


def _contested(centre: Centre, name: str, source: Source, head: str) -> Iterator[str]:
    """What is asked of rows of a source that are one record, or one file, of which none can be told to hold."""
    version, take = source.current_row.get("by", ()), source.current_row.get("take", {})
    given = {c: value for c, value in take.items() if value not in ("max", "min")}
    current = lit("a row of this record with " + ", ".join(f"{source.raw(c)} {v}" for c, v in given.items()))
    asked = [
        ("contents", "two_contents", source.one_content[:1], source.one_content[:1], ""),
        ("rivals", "two_contents", version, [*version, *(c for c in take if c not in given)], ""),
        ("lacking", "no_current_row", version, list(given), current),
    ]
    for table, rule, by, columns, expected in asked:
        if by and columns:
            fields = ", ".join(map(source.raw, columns))
            # the centre's own id stays in its own files
            shown = (
                "_whole" if not set(by) & {*centre.subject_columns(name)} and centre.subject_columns(name) else "null"
            )
            expected = expected or lit(f"one content under one {fields}, here and in ") + " || others"
            yield f"""
                select {head}, {lit(name)}, local_id, l.usubjid, concat_ws('|', {lit(name)}, left(sha256(_whole), 12)),
                    source_file, source_row, {lit(fields)}, null, {shown}, {expected}, {lit(f"structure/{rule}")}, null
                from {table}_{name} left join link l using (local_id)
            """


def _unused(centre: Centre, name: str, head: str) -> list[str]:
    """The rows of a source that no part of the mapping takes, nor the condition of a lookup: one finding for each kind,
    which the columns of their conditions tell (where these ask only for blank or filled, just that). None where a part
    takes all rows."""
    parts = [part for many in centre.tables.values() for part in many]
    wheres = [part.selects for part in parts if part.source == name]
    if not wheres or not all(wheres):
        return []
    wheres += [look["where"] for part in parts for look in part.lookups if look["source"] == name and look.get("where")]
    source, cells = centre.sources[name], []
    columns = list(dict.fromkeys(c for where in wheres for c in where))
    for column in columns:
        verbs = {verb for where in wheres for verb in where.get(column, ())}
        # the centre's own id stays in its own files
        told = quote(column) if verbs - {"blank"} and column not in centre.subject_columns(name) else "'…'"
        cells.append(f"concat({lit(f'{source.raw(column)}: ')}, if({quote(column)} is null, '-', {told}))")
    taken = " or ".join(map(condition, wheres))
    return [
        f"""
        select {head}, {lit(name)}, null, null, concat_ws('|', {lit(name)}, left(sha256(_kind), 12)),
            min_by(source_file, _rid), min_by(source_row, _rid), {lit(", ".join(map(source.raw, columns)))}, null,
            _kind, concat('a kind of row that is agreed (of this kind there are: ', count(*), ')'),
            'structure/unused_row', null
        from (
            select *, concat_ws(', ', {", ".join(cells)}) as _kind from source_{name}
            where _reason is null and not ({taken})
        )
        group by _kind
    """
    ]


def _below_footer(centre: Centre, name: str, head: str) -> list[str]:
    """Rows of the footer that look like records, with all of their key: one finding a file, at the first. What begins a
    footer may stand in the middle of a file."""
    source = centre.sources[name]
    # what is filled from above is filled in a footer, too
    key = [c for c in source.key if c not in source.fill_down]
    if not source.stop_at or not key:
        return []
    none = " or ".join(condition(where) for where in (source.stop_at, *(d["where"] for d in source.drop_rows)))
    return [
        f"""
        select {head}, {lit(name)}, null, null, concat_ws('|', {lit(name)}, source_file), source_file,
            min_by(source_row, _rid), {lit(", ".join(map(source.raw, key)))}, null, null,
            concat('no record below the line that ends the table (there are: ', count(*), ')'),
            'structure/row_below_footer', null
        from source_{name}
        where _reason = 'footer' and {condition({c: {"blank": False} for c in key})} and not ({none})
        group by source_file
    """
    ]
