"""Several rows that become one, as SQL: those that agree, and those that lack what they should agree in."""

from collections.abc import Mapping, Sequence

from pipelines.mapping import Centre, Part
from pipelines.staging_fields import quote

VERBS = {
    "sum": "sum({})", "max": "max({})", "min": "min({})", "first": "min_by({}, _place)",
    "alike": "case when min({0}) = max({0}) then min({0}) end",
}  # fmt: skip
LOST = "_lost"  # true of a row that may belong to several others
LEAST, GREATEST = "_least_", "_greatest_"  # before a column: its values, where rows that should be alike are not


def rolled_up(rows: str, rollup: Mapping[str, Sequence[str]], names: set[str]) -> tuple[str, set[str]]:
    """Rows that agree in `by` become one; its place is that of the first of them.

    A row that lacks one of `may_lack` joins the one that agrees in the rest; where several do, it stays apart, and no
    sum or count that it enters is known, nor a sum of what was not `alike`. `names` are the columns of the rows; those
    of the result are returned, too.
    """
    if "may_lack" in rollup:
        rows, names = f"({_placed(rows, rollup)})", {*names, LOST}
    lost = [f"not bool_or({LOST})"] if LOST in names else []
    cells = [quote(c) for c in rollup["by"]]
    for verb, sql in VERBS.items():
        for c in rollup.get(verb, ()):
            differs = [f"count({LEAST}{c}) = 0"] if LEAST + c in names else []
            value = _where([*lost, *differs] if verb == "sum" else [], sql.format(quote(c)))
            cells.append(f"{value} as {quote(c)}")
    cells += [f"{_where(lost, 'count(*)')} as {quote(c)}" for c in rollup.get("count", ())]
    cells += [f"bool_or({LOST}) as {LOST}"] if LOST in names else []
    told = {c: f"{'min' if c.startswith(LEAST) else 'max'}({c})" for c in names if c.startswith((LEAST, GREATEST))}
    for c in rollup.get("alike", ()):
        least, greatest = f"min({quote(c)})", f"max({quote(c)})"
        for name, end in ((LEAST + c, least), (GREATEST + c, greatest)):
            told[name] = f"coalesce({told.get(name, 'null')}, case when {least} <> {greatest} then {end} end)"
    cells += [f"{sql} as {c}" for c, sql in sorted(told.items())]
    by = ", ".join(quote(c) for c in rollup["by"])
    made = {c for columns in rollup.values() for c in columns} | ({LOST} & names) | {*told}
    return f"(select {', '.join(cells)}, min(_place) as _place from {rows} group by {by})", made


def differing(centre: Centre, part: Part, names: set[str]) -> dict[str, tuple[str, str]]:
    """The staged columns of which rows may differ, with what holds their least and greatest value: those whose raw
    columns no part above asks about, because the dose of a fraction is that of its course, too."""
    asked: set[tuple[str, ...]] = set()
    for above in (p for parts in centre.tables.values() for p in parts):
        alike = {c for rollup in above.rollups for c in rollup.get("alike", ())}
        columns = {f.name: tuple(f.columns) for f in above.fields if f.name in alike}
        if above is part:
            return {c: (LEAST + c, GREATEST + c) for c, raw in columns.items() if raw not in asked and c in names}
        asked |= {*columns.values()} if above.source == part.source else set()
    return {}


def _where(conditions: Sequence[str], sql: str) -> str:
    return f"case when {' and '.join(conditions)} then {sql} end" if conditions else sql


def _placed(rows: str, rollup: Mapping[str, Sequence[str]]) -> str:
    """The rows, those that lack something with what the one that they belong to has. It has their greatest values, too:
    another dose would be another session."""
    lacks = [quote(c) for c in rollup["may_lack"]]
    rest, most = (
        [quote(c) for c in rollup["by"] if quote(c) not in lacks],
        [quote(c) for verb in ("max", "alike") for c in rollup.get(verb, ())],
    )
    missing = " or ".join(f"{c} is null" for c in lacks)
    whole, alike = ", ".join([*rest, *lacks]), ", ".join(rest)
    same = " and ".join([f"l.{c} = w.{c}" for c in rest] + [f"coalesce(l.{c} = w.{c}, true)" for c in lacks])
    agrees = " and ".join(f"coalesce(l.{c} = w.{c}, true)" for c in most) or "true"
    found = ", ".join(f"min(w.{c}) as {c}" for c in lacks)
    replaced = ", ".join(f"coalesce(r.{c}, if(p.{LOST}, null, p.{c})) as {c}" for c in lacks)
    return f"""
        with lacking as (select * from {rows} where {missing}),
        whole as (
            select {whole}{"".join(f", max({c}) as {c}" for c in most)} from {rows}
            where not ({missing}) and hash({alike}) in (select hash({alike}) from lacking) group by {whole}
        ),
        placed as (
            select l._place, {found}, count(*) > 1 or not bool_and({agrees}) as {LOST}
            from lacking l join whole w on {same} group by l._place
        )
        select r.* replace ({replaced}), coalesce(p.{LOST}, false) as {LOST}
        from {rows} r left join placed p using (_place)
    """
