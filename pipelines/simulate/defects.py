"""Defects planted into the files of one centre, each recorded with its place and the rule that must find it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.errors import MappingError
from pipelines.simulate import defect_places
from pipelines.simulate.defect_entries import Entry, Slot, macros, name_of, slots_of
from pipelines.study import sql_literal as lit

if TYPE_CHECKING:
    import duckdb

# share of patients that carry one defect each which changes how the others of the patient would be judged, per share of
# records to be spoiled, and its bounds
ALONE_PER_RATE, MOST_ALONE, MOST_ALONE_OF_ALL = 20, 0.5, 0.5
TAKEN = "select who, slot, field from spoil.plan join named using (entry)"


def plant(
    con: "duckdb.DuckDBPyConnection", folder: Path, files: list[dict[str, Any]], whole: Sequence[Any], rate: float
) -> None:
    """Spoil `rate` of the records of one centre's `files`, and add where to `world.defects`.

    `whole` are the files that a bulk file's `of` names. The selects in both are replaced by tables of schema `spoil`.
    A patient carries either one defect that bears on others (`alone`), or any number of those that do not, at most one
    a record and column. Equal seeds give equal defects. Raises `MappingError` for a wrong `defects.yaml`.
    """
    path = folder / "defects.yaml"
    if not path.is_file():
        return
    import duckdb

    macros(con)
    _know_patients(con, files[0]["centre"], rate)
    slots = list(slots_of(con, study.read_yaml(path), files, whole))
    try:
        _choose(con, slots, rate, _declared(folder.parent))
        for slot in slots:
            _spoil(con, slot)
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
        raise MappingError(f"{folder.name}/defects.yaml: {str(error).splitlines()[0]}") from error
    except duckdb.Error as error:
        # a message about rows may quote one of their values
        raise MappingError(
            f"{folder.name}/defects.yaml: an entry fails on the data ({type(error).__name__})."
        ) from None
    for slot in slots:
        _record(con, slot, [s for s in slots if s.file["path"] == slot.file["path"]])


def _know_patients(con: "duckdb.DuckDBPyConnection", centre: str, rate: float) -> None:
    """Make `spoil.who`: a row per patient of this centre, and whether its one defect is planted here."""
    share = min(MOST_ALONE, ALONE_PER_RATE * rate)
    con.execute(f"""
        create or replace table spoil.who as
        select l.subject_no as _no, l.usubjid as _who, world.draw(l.usubjid, 'alone') < {share} as _alone,
            (world.draw(l.usubjid, 'which unit') < 0.5) = (p.onc_centre = {lit(centre)}) as _here, p
        from truth.links l join world.patients p using (usubjid)
    """)
    columns = "slot integer, entry integer, n bigint, who varchar"
    con.execute(f"create or replace table spoil.plan ({columns}); create or replace table spoil.could ({columns})")
    con.execute("create or replace table spoil.light (slot integer, n bigint, who varchar, can integer[], u double)")


def _declared(centres: Path) -> Counter[str]:
    """In how many centres' files each kind can be planted."""
    specs = [study.read_yaml(path) for path in sorted(centres.glob("*/defects.yaml"))]
    return Counter(kind for spec in specs for kind in {d["kind"] for each in spec["files"] for d in each["defects"]})


def _choose(con: "duckdb.DuckDBPyConnection", slots: Sequence[Slot], rate: float, declared: Mapping[str, int]) -> None:
    """Fill `spoil.plan`: which entry at which record. Every kind that this cohort lacks once, then by chance."""
    records = 0
    for s in slots:
        records += con.execute(f"select count(*) from {s.patients} where {s.first}").fetchall()[0][0]
        for e in (e for e in s.entries if e.alone):
            con.execute(f"""
                insert into spoil.could
                select {s.number}, {e.number}, min_by(_n, hash(_n, {e.number}, getvariable('seed'))), _who
                from {s.patients} where _alone and _here and {e.possible} group by _who
            """)
        light = [f"case when {e.possible} then {e.number} end" for e in s.entries if not e.alone]
        if light:
            con.execute(f"""
                insert into spoil.light
                -- a record with many possible defects is likelier, so that one kind does not fill most of the places
                select {s.number}, _n, _who, can,
                    world.draw(_who, {lit(f"{s.file['path']} {s.part} ")} || _n) / len(can) as u
                from (
                    select _n, _who, list_filter([{", ".join(light)}], lambda z: z is not null) as can
                    from {s.patients} where not _alone and {s.first}
                ) where len(can) > 0 and u < {min(1.0, 20 * rate)}
            """)
    wanted = round(rate * records)
    named = ", ".join(f"({e.number}, {lit(e.kind)}, {lit(e.column)})" for s in slots for e in s.entries)
    con.execute(f"create or replace temp table named as from (values {named}) n(entry, kind, field)")
    _once_each(con, declared, wanted)
    con.execute(f"""
        insert into spoil.plan
        select slot, entry, n, who from spoil.could join named using (entry) anti join spoil.plan using (who)
        -- every kind has the same chance, however many columns it can be planted in
        qualify row_number() over (partition by who order by world.draw(who, kind), world.draw(who, kind || entry)) = 1
        order by world.draw(who, 'order'), who
        limit greatest(0, {round(MOST_ALONE_OF_ALL * wanted)} - (select count(*) from spoil.plan))
    """)
    left = wanted - con.execute("select count(*) from spoil.plan").fetchall()[0][0]
    con.execute(f"""
        insert into spoil.plan
        with drawn as (
            select slot, can[1 + (hash(who, n, slot, getvariable('seed')) % len(can))::integer] as entry, n, who, u
            from spoil.light anti join spoil.plan using (slot, n)
        )
        select d.slot, d.entry, d.n, d.who from drawn d join named f using (entry)
        -- a record is known by its key without the field that fails: two of a patient would be one question
        where (d.who, d.slot, f.field) not in ({TAKEN})
        qualify row_number() over (partition by d.who, d.slot, f.field order by u, n) = 1
        order by u, d.slot, d.n limit {max(0, left)}
    """)


def _once_each(con: "duckdb.DuckDBPyConnection", declared: Mapping[str, int], wanted: int) -> None:
    """Plan each kind that no centre before this one planted, as long as there is a patient for it: the rarest first."""
    lacking = con.execute("""
        select kind from (select entry from spoil.could union all select unnest(can) from spoil.light)
        join named using (entry)
        where kind not in (select defect_kind from world.defects) group by kind order by count(*), kind
    """).fetchall()
    for kind in sorted((kind for (kind,) in lacking), key=lambda kind: declared[kind])[:wanted]:
        con.execute(f"""
            insert into spoil.plan
            select slot, entry, n, who from (
                select slot, entry, n, who from spoil.could anti join spoil.plan using (who)
                union all
                select slot, unnest(can), n, who from spoil.light anti join spoil.plan using (slot, n)
            ) join named using (entry)
            where kind = {lit(kind)} and (who, slot, field) not in ({TAKEN})
            order by world.draw(who, kind || entry), n limit 1
        """)


def _spoil(con: "duckdb.DuckDBPyConnection", slot: Slot) -> None:
    """Change the cells in place, so that the rows keep their order; copies go to the end."""
    planned = f"select entry, n from spoil.plan where slot = {slot.number}"
    used = {number for (number,) in con.execute(f"select distinct entry from ({planned})").fetchall()}
    for e in (e for e in slot.entries if e.number in used):
        mine = f"select n from ({planned}) where entry = {e.number}"
        same = " and ".join(f"g.{name_of(c)} is not distinct from o.{name_of(c)}" for c in e.rows)
        pairs = f"from {slot.table} o join {slot.table} g on {same} where o._n in ({mine})"
        if e.copy:
            sets = "".join(f", ({sql}) as {name_of(column)}" for column, sql in e.sets.items())
            con.execute(f"""
                create or replace temp table copied as
                select n, (select count(*) from {slot.table}) + row_number() over (order by n) as copy_n from ({mine})
            """)
            if e.at_first:
                _place_at_first(con, slot, e, pairs)
            con.execute(f"""
                insert into {slot.table}
                select t.* replace (c.copy_n as _n{sets})
                from {slot.table} t join copied c on c.n = t._n order by c.copy_n
            """)
            if not e.at_first:
                con.execute(f"""
                    update spoil.plan set n = c.copy_n from copied c where slot = {slot.number} and plan.n = c.n
                """)
            continue
        if e.rows:
            _place_at_first(con, slot, e, pairs)
            mine = f"select g._n {pairs}"
        after = {e.column: e.after, **e.sets}
        values = ", ".join(f"({sql}) as _after{i}" for i, sql in enumerate(after.values()))
        cells = ", ".join(f"{name_of(column)} = c._after{i}" for i, column in enumerate(after))
        con.execute(f"""
            create or replace temp table changed as
            select _n, {values} from {slot.patients} where _n in ({mine});
            update {slot.table} set {cells} from changed c where {slot.table}._n = c._n;
        """)


def _place_at_first(con: "duckdb.DuckDBPyConnection", slot: Slot, e: Entry, pairs: str) -> None:
    """Plan the defect at the first of the rows that it is about."""
    con.execute(f"""
        update spoil.plan set n = a.first_n
        from (select o._n as n, min(g._n) as first_n {pairs} group by o._n) a
        where slot = {slot.number} and entry = {e.number} and plan.n = a.n
    """)


def _record(con: "duckdb.DuckDBPyConnection", slot: Slot, same_file: Sequence[Slot]) -> None:
    """Add what was planted to `world.defects`, and where links and lesions stand to `world.places`."""
    source_file, source_row, reads = defect_places.place(slot, same_file)
    about = ", ".join(f"({e.number}, {lit(e.field)}, {lit(e.kind)}, {lit(e.rule)})" for e in slot.entries)
    head = f"{lit(slot.file['centre'])}, {lit(str(slot.file['extract_date']) + '_export')}, {source_file}, {source_row}"
    lesion, patient = slot.spec.get("lesion", "null"), slot.spec["patient"]
    con.execute(f"""
        insert into world.defects
        select {head}, a.field, a.kind, a.rule, d.who, {lesion} from spoil.plan d
        join (values {about}) a(entry, field, kind, rule) on a.entry = d.entry
        join {reads} t on t._n = d.n where d.slot = {slot.number}
    """)
    for what in {"links", "lesion"} & set(slot.spec):
        con.execute(f"""
            insert into world.places
            select {head}, _who, {lesion} from {reads} t join spoil.who w on w._no = ({patient})
            where _alone and {"true" if what == "links" else f"{lesion} is not null"}
        """)
