"""What staging asks the centre and what it left out, as SQL over the tables that `staging` made."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pipelines import study
from pipelines.mapping import DICTIONARY, Centre
from pipelines.query_words import codelist_of, in_words
from pipelines.staging_fields import quote
from pipelines.staging_left_out import left_out
from pipelines.staging_rows import MOST_BLOCKS, PartSql
from pipelines.staging_unread import BAD
from pipelines.staging_words import MONTHS, with_months
from pipelines.study import sql_literal as lit

PLACED = "(_part, _place)"
PLACE = "_part, _place"  # of a staged row: part of the mapping; row of the source and block of its unpivot
MARK = "#"  # begins the part of a record's key that stands for what cannot be read
KINDS = lit("[{" + ", ".join(f'"{name}": "VARCHAR"' for name in BAD) + "}]")
FINDING = (
    "centre", "delivery_id", "table_name", "local_id", "usubjid", "record_key", "source_file", "source_row", "field",
    "staged_field", "value_received", "expected", "rule_id", "raw_key",
)  # fmt: skip


def fillable(table: str) -> dict[str, study.Column]:
    """The staged columns that a mapping fills: without provenance."""
    return {name: c for name, c in study.staged_columns(table).items() if name not in study.PROVENANCE}


def key_of(table: str) -> list[str]:
    """The key within one centre and staged table: what names a record, never its row."""
    key = [c for c in study.staged_tables()[table].key if c not in study.PROVENANCE]
    return key or ["usubjid"]


def findings_sql(centre: Centre, landed: Path, parts: Sequence[PartSql], head: str) -> str:
    """Everything to ask the centre: landing's notes, unusable values, records twice, records without a study code."""
    notes = lit(str(landed / "_notes.parquet"))
    selects = [
        # a note about a row is told from the others by its place
        f"""select {head}, source as table_name, null as local_id, null as usubjid,
        case when field is null then concat_ws('|', source, source_file, source_row) else source end as record_key,
        source_file,
        source_row, field, null as staged_field, value_received, expected, rule_id, null as raw_key
        from read_parquet({notes})""",
        f"""select {head}, source, null, null, source, source_file, header, field, null, null,
        'this column, which the mapping names', 'structure/missing_column', null
        from absent join received using (source)
        where (source, field) not in (
            select (source, field) from read_parquet({notes}) where rule_id = 'structure/identifier_column'
        )""",
        # without a full file nothing is known to be there, which is asked once
        f"""select {head}, source, local_id, l.usubjid,
        concat_ws('|', source, left(sha256(concat_ws('|', kind, whole)), 12)), source_file, source_row, field, null,
        kind,
        concat('a record that we have; ',
            if(kind = 'Remove', 'nothing was removed', 'what it states is taken as a new one')),
        'structure/unknown_record', null
        from (
            select min(source) as source, field, kind, whole, max(local_id) as local_id, source_file, source_row
            from changed group by field, kind, whole, delivery_id, source_file, source_row having not bool_or(is_known)
        ) left join link l using (local_id)
        where not exists (from read_parquet({notes}) where rule_id = 'structure/changes_without_snapshot')""",
    ]
    dictionaries = {
        f.spec["choices"] for each in centre.tables.values() for p in each for f in p.fields if "choices" in f.spec
    }
    selects += [
        f"""select {head}, {lit(name)}, null, null, concat_ws('|', {lit(name)}, variable, code), source_file,
        source_row, {lit(DICTIONARY[1])}, null, concat(variable, ' ', code, ': ', labels), 'one label for each code',
        'structure/two_labels', null
        from two_labels join origin_{name} on _rid = place where source = {lit(name)}"""
        for name in sorted(dictionaries)
    ]
    selects += [sql for name in centre.sources for sql in left_out(centre, name, head)]
    selects += [sql for part in parts for sql in _unread(centre, part, head)]
    looked = [sql for part in parts for sql in _unread_there(centre, part, head)]
    # whose id cannot be read is asked for the id
    damaged = f"list_contains(list_transform(from_json(_bad, {KINDS}), lambda b: b.staged_field), 'local_id')"
    for table in centre.tables.keys() - {"links"}:
        selects.append(f"""
            {_twice(centre, table, parts, head)}
            union all
            select {head}, {lit(table)}, local_id, null, {_subject("null")},
                min_by(source_file, {PLACED}), min_by(source_row, {PLACED}),
                {lit(next(p.raw["local_id"] for p in parts if p.table == table))}, 'usubjid', null,
                'a row of this subject in the list of study codes', 'structure/no_study_code', null
            from all_{table} where usubjid is null and not coalesce({damaged}, false) group by local_id
        """)
    own, listed = " union all ".join(selects), ", ".join(FINDING)
    if not looked:
        return f"select {listed} from ({own}) order by all"
    # one cell is asked once, however many rows look it up: by its own source, where that reads it, too
    cell = "source_file, source_row, field, rule_id"
    return f"""
        with own({listed}) as ({own}), several({listed}) as ({" union all ".join(looked)}),
        looked as (
            from several anti join own using ({cell})
            qualify row_number() over (partition by {cell} order by table_name, record_key, raw_key) = 1
        )
        from own union all by name from looked order by all
    """


def _twice(centre: Centre, table: str, parts: Sequence[PartSql], head: str) -> str:
    """The findings about records that came before: the values of their key, and where the one that is kept stands."""
    key = [c for c in key_of(table) if c != "usubjid"]
    raw = ", ".join(dict.fromkeys(p.raw[c] for p in parts for c in key if p.table == table and p.raw.get(c)))
    values = ", ".join(in_words(f"t.{quote(c)}::varchar", codelist_of(c), centre.language) for c in key) or "null"
    one = lit(", ".join(["one record per patient", *([raw] if raw else [])]) + "; we kept that of ")
    return f"""
        select {head}, {lit(table)}, t.local_id, t.usubjid, {record_sql(centre, table, "t")},
            t.source_file, t.source_row, {lit(raw)}, {lit(", ".join(key))}, nullif(concat_ws(', ', {values}), ''),
            concat({one}, k.source_file, ', row ', k.source_row), 'structure/duplicate_record', null
        from all_{table} k join (from all_{table} join twice_{table} using ({PLACE})) t
            on k._part = t.kept_part and k._place = t.kept_place
    """


def _unread(centre: Centre, part: PartSql, head: str) -> Iterator[str]:
    """What a part has of its own source and cannot use, in the rows of its table and in those that were rolled up."""
    declared = centre.tables[part.table][part.number]
    several = [f"(from all_{part.table} where _part = {part.number})"]
    if declared.rollups:
        several += [f"origin_{declared.source} join {part.name} on _rid = _place // {MOST_BLOCKS}"]
    for rows in several:
        yield _asked(centre, part, head, f"select * from ({_bads(rows)}) where b.looked_in is null")


def _unread_there(centre: Centre, part: PartSql, head: str) -> Iterator[str]:
    """What a part looked up in other sources and cannot use, with its place there."""
    declared = centre.tables[part.table][part.number]
    staged = f"(select * exclude (source_file, source_row) from all_{part.table} where _part = {part.number})"
    bads = _bads(part.name if declared.rollups else staged)
    for name in sorted({look["source"] for look in declared.lookups}):
        found = f"select *, b.looked_at::bigint as _at from ({bads}) where b.looked_in = {lit(name)}"
        place = (
            f"select _rid as _at, source_file, source_row from origin_{name} where _rid in (select _at from ({found}))"
        )
        yield _asked(centre, part, head, f"from ({found}) join ({place}) using (_at)")


def _bads(rows: str) -> str:
    """The values of rows that could not be used, one each, as `b`."""
    each = f"select *, unnest(from_json(_bad, {KINDS})) as b from {rows} where _bad is not null"
    return f"select * from ({each}) where b is not null"


def _asked(centre: Centre, part: PartSql, head: str, rows: str) -> str:
    """The findings about values that could not be used; `rows` hold one each, as `b`, with its place."""
    code = "p.usubjid" if part.table == "links" else "l.usubjid"
    return f"""
        select {head}, {lit(part.table)}, local_id, {code}, {_record_key(centre, part, code)}, source_file,
            source_row, b.field, b.staged_field,
            -- the centre's own id stays in its own files
            case when b.staged_field <> 'local_id' then b.value_received end, b.expected, b.rule_id,
            {_raw_key(part)}
        from ({rows}) p left join link l using (local_id)
    """


def partial_dates_sql(findings: Path) -> str:
    """The dates of `findings` of which only month or year is known, with precision and bounds: nothing is imputed."""
    text = with_months("value_received", tuple(MONTHS))
    cells = ", ".join(c for c in FINDING if c not in ("expected", "rule_id", "raw_key"))
    return f"""
        select {cells}, partial_precision(_t) as precision, partial_lower(_t) as lower_dt, partial_upper(_t) as upper_dt
        from (select *, {text} as _t from read_parquet({lit(str(findings))}) where rule_id = 'structure/partial_date')
    """


def record_sql(centre: Centre, table: str, row: str = "") -> str:
    """The record of a staged row (of the alias `row`) by its key, as text."""
    at = f"{row}." if row else ""
    key = [c for c in key_of(table) if c != "usubjid"]
    subject = {"usubjid": _subject(f"{at}usubjid", f"{at}local_id")}
    return _joined(centre, table, {c: at + quote(c) for c in key} | subject)


def _record_key(centre: Centre, part: PartSql, code: str) -> str:
    """The record of a finding by its key, without the field that failed."""
    damaged = "coalesce(p.local_id, case when b.staged_field = 'local_id' then b.value_received end)"
    values = {c: f"p.{quote(c)}" if c in part.raw else "null" for c in key_of(part.table)}
    values["usubjid"] = _subject(code, damaged)
    cases = [
        f"when {lit(c)} then {_joined(centre, part.table, {k: v for k, v in values.items() if k != c})}" for c in values
    ]
    return f"case b.staged_field {' '.join(cases)} else {_joined(centre, part.table, values)} end"


def _raw_key(part: PartSql) -> str:
    """A digest of what could not be read of the record's key, NULL where all of it could; the centre's own id is in it,
    so that nobody finds the text by trying."""
    key = [c for c in key_of(part.table) if c != "usubjid"]
    unread = f"list_filter(from_json(_bad, {KINDS}), lambda x: x.staged_field in ({', '.join(map(lit, key))}))"
    texts = f"array_to_string(list_transform({unread}, lambda x: x.value_received), '|')"
    digest = f"{lit(MARK)} || left(sha256(concat_ws('|', local_id, {texts})), 12)"
    return f"case when len({unread}) > 0 then {digest} end" if key else "null"


def _subject(code: str, local_id: str = "local_id") -> str:
    """The study code; without one a digest, because the centre's own id stays in its own files."""
    return f"coalesce({code}, left(sha256(coalesce({local_id}, '')), 12))"


def _joined(centre: Centre, table: str, values: Mapping[str, str]) -> str:
    """The declared key as one text, in its order, with the centre where the key names it."""
    cells = [
        lit(centre.name) if c == "centre" else f"coalesce({values[c]}::varchar, '')"
        for c in dict.fromkeys([*study.staged_tables()[table].key, *values])
        if c == "centre" or c in values
    ]
    return f"concat_ws('|', {', '.join(cells)})" if cells else "''"


def dropped_sql(centre: Centre, head: str) -> str:
    """Rows that were left out on purpose, one per source and row, with the reason that the mapping gives; as they come,
    in the order of their files: they can be half of all rows, too many to be sorted."""
    selects = [
        f"select {lit(name)} as source, source_file, source_row, _reason as reason from source_{name}"
        for name, s in centre.sources.items()
        if s.stop_at or s.drop_rows or s.current_row or s.one_content or s.transactions
    ]
    none = "select " + ", ".join(f"null::varchar as {c}" for c in ("source", "source_file", "source_row", "reason"))
    return f"select {head}, * from ({' union all '.join(selects or [none])}) where reason is not null"
