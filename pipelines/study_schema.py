"""The study's declarations as tables of schema `study`, so that SQL can join them."""

from typing import TYPE_CHECKING, Any

from pipelines import study

if TYPE_CHECKING:
    import duckdb


def endpoint_steps() -> list[tuple[Any, ...]]:
    """The endpoints as rows: one per endpoint, role (start, event, censor) and rank within the role.

    What ends the observation (`until`) censors as well, and goes before the other censors.
    """
    rows = []
    for e in study.endpoints():
        head = (e["paramcd"], e["param"], e["order"], e["decimals"])
        rows.append((*head, "start", 1, e["start"], "Start", None))
        for role, steps in (("event", e["events"]), ("censor", e["until"] + e["censors"])):
            rows += [
                (*head, role, rank, step["date"], step["description"], step.get("competing"))
                for rank, step in enumerate(steps, 1)
            ]
    return rows


def analyses() -> list[tuple[Any, ...]]:
    """Every endpoint in every analysis (`main`: as declared): names of dates, other bounds, rules set aside."""
    rows = []
    for a in [{"analysis": "main", "of": {e["paramcd"]: {} for e in study.endpoints()}}, *study.sensitivity()]:
        bounds = [a.get("bounds", {}).get(name) for name in ("max_progressing_lesions", "max_new_lesions")]
        for e in study.endpoints():
            if e["paramcd"] in a.get("of", {}):
                steps = e | a["of"][e["paramcd"]]
                names = (study.names_of(steps[role]) for role in ("events", "until", "censors"))
                rows.append((a["analysis"], e["paramcd"], steps["start"], *names, *bounds, a.get("instead_of", [])))
    return rows


def create_schema(con: "duckdb.DuckDBPyConnection", schema: str = "study") -> None:
    """Load protocol, code lists, endpoints and published figures as tables of `schema` (dropped and made anew)."""
    con.execute(f"drop schema if exists {schema} cascade; create schema {schema}")
    wide = ", ".join(f"{study.sql_literal(p['value'])} as {name}" for name, p in study.protocol().items())
    con.execute(f"create table {schema}.protocol as select {wide}")
    rows = ", ".join(
        "({})".format(
            ", ".join(study.sql_literal(v) for v in (n, str(p["value"]), p.get("unit"), p["citation"], str(p["since"])))
        )
        for n, p in study.protocol().items()
    )
    con.execute(f"create table {schema}.parameters as from (values {rows}) t(name, value, unit, citation, since)")
    contested = ", ".join(
        f"({study.sql_literal(name)}, {study.sql_literal(str(reading))}, {place})"
        for name, found in study.readings().items()
        for place, reading in enumerate(found)
    )
    con.execute(f"create table {schema}.switches as from (values {contested}) t(switch, reading, reading_order)")
    for path in [*sorted((study.STUDY / "codelists").glob("*.csv")), study.STUDY / "published.csv"]:
        options = "header = true, all_varchar = true, delim = ',', quote = '\"', auto_detect = true"
        source = f"read_csv({study.sql_literal(str(path))}, {options})"
        con.execute(
            f"create table {schema}.{path.stem} as select *, row_number() over ()::integer as list_order from {source}"
        )
    con.execute(f"alter table {schema}.response alter worst_order type integer")
    fields = ", ".join(
        f"({study.sql_literal(t.name)}, {study.sql_literal(c.name)})"
        for t in study.staged_tables().values()
        for c in t.columns
        if c.endpoint
    )
    con.execute(f"create table {schema}.endpoint_fields as from (values {fields}) t(table_name, field)")
    groups = ", ".join(
        f"({', '.join(study.sql_literal(v) for v in (name, about['label'], order, start))})"
        for order, (name, about) in enumerate(study.survival_groups().items(), 1)
        for start in about["starts"]
    )
    con.execute(
        f"create table {schema}.survival_groups as from (values {groups}) t(grouping, label, group_order, date_name)"
    )
    steps = ", ".join(f"({', '.join(study.sql_literal(v) for v in step)})" for step in endpoint_steps())
    columns = "paramcd, param, endpoint_order, decimals, role, step_rank, date_name, description, competing"
    con.execute(f"create table {schema}.endpoints as from (values {steps}) t({columns})")
    con.execute(f"""
        create table {schema}.analyses (
            analysis varchar, paramcd varchar, start_name varchar, event_names varchar[], until_names varchar[],
            censor_names varchar[], max_progressing_lesions integer, max_new_lesions integer, instead_of varchar[])
    """)
    rows = ", ".join(f"({', '.join(study.sql_literal(v) for v in row)})" for row in analyses())
    con.execute(f"insert into {schema}.analyses values {rows}")
