"""Columns as Dagster shows them: their declaration, what they are made from, and who sends them."""

from collections.abc import Iterable, Mapping

import dagster as dg

from pipelines import models, study
from pipelines.mapping import Centre
from pipelines.orchestration.lineage import Origins, shapes

# what staging adds to the columns that a centre's mapping fills
BESIDE = {"_since": "The delivery that first lacked this row, which is kept until its centre confirms that it is gone"}


def asset_key(full_name: str) -> dg.AssetKey:
    return dg.AssetKey(full_name.replace(".", "/").split("/"))


def column_shape(full_name: str) -> dg.TableSchema:
    """The declared columns before the table is made: without descriptions, which the UI would show for ever."""
    return dg.TableSchema([dg.TableColumn(c.name, c.sql_type) for c in study.tables()[full_name].columns])


def column_schema(full_name: str, origins: Origins | None = None) -> dg.TableSchema:
    """The declared columns of a table, each with what it is made from where that is known."""
    return dg.TableSchema(
        [
            dg.TableColumn(c.name, c.sql_type, _about(c) + _from((origins or {}).get(c.name, ())))
            for c in study.tables()[full_name].columns
        ]
    )


def column_lineage(origins: Origins, centres: Mapping[str, Centre]) -> dg.TableColumnLineage:
    """What each column is made from, as columns of assets; code lists and the protocol are no assets."""
    return dg.TableColumnLineage(
        {column: [dep for name in made_from for dep in _deps(name, centres)] for column, made_from in origins.items()}
    )


def _deps(column: str, centres: Mapping[str, Centre]) -> list[dg.TableColumnDep]:
    table, _, name = column.rpartition(".")
    schema, bare = table.split(".")
    if schema == "staged":
        sent = f"{bare}.{name}"
        return [dg.TableColumnDep(dg.AssetKey(["staged", c]), sent) for c, a in centres.items() if sent in filled(a)]
    return [dg.TableColumnDep(asset_key(table), name)] if schema in models.LAYERS else []


def sending(table: str, centres: Mapping[str, Centre]) -> list[str]:
    """The centres that send a staged table; all have those about the rows of the others."""
    return [c for c, about in centres.items() if table in about.tables or table not in study.staged_tables()]


def filled(centre: Centre) -> dict[str, study.Column]:
    """The columns that a centre fills, as `table.column`: those of its mapping, and where each row came from."""
    found = {}
    for table, shape in ((t.partition(".")[2], s) for t, s in shapes().items() if t.startswith("staged.")):
        if not sending(table, {centre.name: centre}):
            continue
        parts = centre.tables.get(table, ())
        mapped = {f.name for part in parts for f in part.fields}
        mapped |= {c for part in parts for rollup in part.rollups for named in rollup.values() for c in named}
        always = {"local_id", "usubjid", "_since", *study.PROVENANCE}
        declared = study.staged_columns(table) if parts else {}
        for name in shape:
            if not parts or name in mapped | always:
                found[f"{table}.{name}"] = declared.get(name) or study.Column(name, "text", BESIDE.get(name, ""))
    return found


def staged_schema(centre: Centre) -> dg.TableSchema:
    """The columns of all staged tables of a centre, as `table.column`."""
    return dg.TableSchema([dg.TableColumn(name, _type(name), _about(c)) for name, c in filled(centre).items()])


def _type(sent: str) -> str:
    table, _, name = sent.partition(".")
    return shapes()[f"staged.{table}"][name]


def _about(column: study.Column) -> str:
    return column.label + (f" [{column.unit}]" if column.unit else "")


def _from(made_from: Iterable[str]) -> str:
    """Ends a description: the open-source Dagster UI shows column lineage nowhere else."""
    by_table: dict[str, list[str]] = {}
    for table, _, name in (column.rpartition(".") for column in made_from):
        by_table.setdefault(table, []).append(name)
    named = "; ".join(f"{table}: {', '.join(names)}" for table, names in by_table.items())
    return f" ← {named}" if named else ""
