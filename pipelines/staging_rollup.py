"""Several rows that become one, as SQL: those that agree, and those that lack what they should agree in."""

from collections.abc import Mapping, Sequence

from pipelines.staging_fields import quote

VERBS = {"sum": "sum({})", "max": "max({})", "min": "min({})", "first": "min_by({}, _place)"}
LOST = "_lost"  # true of a row that may belong to several others


def rolled_up(rows: str, rollup: Mapping[str, Sequence[str]], names: set[str]) -> tuple[str, set[str]]:
    """Rows that agree in `by` become one; its place is that of the first of them.

    A row that lacks one of `may_lack` joins the one that agrees in the rest; where several do, it stays apart, and no
    sum or count that it enters is known. `names` are the columns of the rows; those of the result are returned, too.
    """
    if "may_lack" in rollup:
        rows, names = f"({_placed(rows, rollup)})", {*names, LOST}
    known = f"case when not bool_or({LOST}) then {{}} end" if LOST in names else "{}"
    cells = [quote(c) for c in rollup["by"]]
    cells += [
        f"{(known if verb == 'sum' else '{}').format(sql.format(quote(c)))} as {quote(c)}"
        for verb, sql in VERBS.items()
        for c in rollup.get(verb, ())
    ]
    cells += [f"{known.format('count(*)')} as {quote(c)}" for c in rollup.get("count", ())]
    cells += [f"bool_or({LOST}) as {LOST}"] if LOST in names else []
    by = ", ".join(quote(c) for c in rollup["by"])
    made = {c for columns in rollup.values() for c in columns} | ({LOST} & names)
    return f"(select {', '.join(cells)}, min(_place) as _place from {rows} group by {by})", made


def _placed(rows: str, rollup: Mapping[str, Sequence[str]]) -> str:
    """The rows, those that lack something with what the one that they belong to has. It has their greatest values, too:
    another dose would be another session."""
    lacks = [quote(c) for c in rollup["may_lack"]]
    rest, most = [quote(c) for c in rollup["by"] if quote(c) not in lacks], [quote(c) for c in rollup.get("max", ())]
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
