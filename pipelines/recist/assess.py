"""The study's own RECIST models over lesions and measurements that come from elsewhere."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pipelines import models, study, study_schema, warehouse

if TYPE_CHECKING:
    import duckdb

MADE = ("assessed.timepoint_responses", "assessed.best_responses")
# what the models read besides: there is no radiotherapy and no linkage in TU and TR
WITHOUT = (
    "harmonised.lesions", "harmonised.measurements", "harmonised.lesion_links", "harmonised.targets",
    "assessed.subject_dates", "assessed.delivered_courses", "assessed.irradiated_lesions",
)  # fmt: skip


def open_store(options: Mapping[str, Any], empty: Iterable[str] = WITHOUT) -> "duckdb.DuckDBPyConnection":
    """A private database with the study's words, the chosen readings in force, and the tables of `empty`.

    `options`: readings by switch, as `options.read_options` gives them.
    """
    con = warehouse.memory()
    con.execute("attach ':memory:' as store")
    models.attach(con)
    con.execute("use store")
    study_schema.create_schema(con)
    if options:
        chosen = ", ".join(f'{study.sql_literal(reading)} as "{name}"' for name, reading in options.items())
        con.execute(f"create or replace table study.protocol as select * replace ({chosen}) from study.protocol")
    for name in empty:
        listed = ", ".join(f'"{c.name}" {c.sql_type}' for c in study.tables()[name].columns)
        con.execute(f"create table {name} ({listed})")
    con.execute("use memory")
    return con


def assess(con: "duckdb.DuckDBPyConnection", made: Iterable[str] = MADE) -> None:
    """Make the tables of `made` and what they are made from, by the SQL files of the study; what is there stays.

    | in `store` | grain |
    |---|---|
    | `harmonised.lesions` | one row per subject and lesion |
    | `harmonised.measurements` | one row per subject, lesion and visit; mm |
    | `assessed.subject_dates` | one row per subject; `trtsdt` is day 0 |

    | out, in `store` | grain |
    |---|---|
    | `assessed.timepoint_responses` | one row per subject, series and visit after the baseline |
    | `assessed.best_responses` | one row per subject with a baseline |

    Source of the rules: RECIST 1.1, as the headers of `sql/2_assessed` say.
    """
    there = con.execute("select schema_name || '.' || table_name from duckdb_tables() where database_name = 'store'")
    given = {name for (name,) in there.fetchall()}
    loaded = models.load()
    wanted = set(made) - given
    for name in reversed(loaded):
        if name in wanted:
            wanted.update(d for d in loaded[name].deps if d not in given)
    for name, model in loaded.items():
        if name in wanted:
            models.run(con, model)
