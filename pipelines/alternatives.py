"""The other readings of the contested points, one at a time: the same SQL, with one value of the protocol replaced.

The names in a model resolve to a third database, `other`: what the switch cannot change shows the stored rows of the
subjects whom it can concern, the rest is made anew there. Columns that give a reason in words are left empty.
"""

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from pipelines import models, rerun, study
from pipelines.touched import CHANGED
from pipelines.warehouse import count, with_room

if TYPE_CHECKING:
    import duckdb

TABLE = "assessed.adrs_alternatives"
RESPONSES = "assessed.adrs"
CONCERNED = "assessed.switch_subjects"
KEPT = "usubjid, paramcd, adt, avalc, lesion_id"


@cache
def chain(switch: str) -> tuple[models.Model, ...]:
    """The models between a switch and the responses, in order: those that name it and those that read from them."""
    return rerun.chain(RESPONSES, lambda model: re.search(rf"\b{switch}\b", model.sql) is not None)


def reads() -> tuple[str, ...]:
    """Every stored table that some other reading is derived from."""
    names = {d for switch in study.readings() for model in chain(switch) for d in model.deps}
    return tuple(sorted(names | {RESPONSES, CONCERNED}))


def derive(con: "duckdb.DuckDBPyConnection", only_touched: bool = False) -> int:
    """Make `assessed.adrs_alternatives`, or replace the rows of the changed subjects; returns the rows of the table.

    | in | grain |
    |---|---|
    | the tables of `reads()` in `store` | as declared |
    | `study.protocol` with its `readings` | one row per study |

    | out | grain |
    |---|---|
    | `switch, reading, usubjid, paramcd, adt, avalc, lesion_id` | one row per response that differs from the default |

    Source of the rule: PROTOCOL, Contested points.
    """
    table = study.tables()[TABLE]
    listed = ", ".join(f'"{c.name}" {c.sql_type}' for c in table.columns)
    touched = f" and usubjid in (from {CHANGED})" if only_touched else ""
    if only_touched:
        con.execute(f"delete from store.{TABLE} where true{touched}")
    else:
        con.execute(f"create or replace table store.{TABLE} ({listed})")
    for switch, found in study.readings().items():
        where = f"switch = {study.sql_literal(switch)}{touched}"
        buckets = -(-count(con, f"store.{CONCERNED} where {where}") // models.AT_ONCE)
        for reading in found[1:]:
            for bucket in range(buckets):
                chosen = f"select usubjid from store.{CONCERNED} where {where}"
                if buckets > 1:
                    chosen += f" and hash(usubjid) % {buckets} = {bucket}"
                _derive_one(con, switch, reading, chosen)
    return count(con, f"store.{TABLE}")


def _derive_one(con: "duckdb.DuckDBPyConnection", switch: str, reading: Any, chosen: str) -> None:
    """One reading for the chosen subjects."""
    value = study.sql_literal(reading)
    protocol = f'select * replace ({value} as "{switch}") from store.study.protocol'
    with rerun.other(con, chosen):
        last = rerun.remake(con, chain(switch), _chosen_rows, {"study.protocol": protocol}, reasons=False)
        with_room(
            con,
            f"""insert into store.{TABLE}
            select {study.sql_literal(switch)}, {study.sql_literal(str(reading))}, * from (
                select {KEPT} from (\n{last}\n)
                except select {KEPT} from store.{RESPONSES} where usubjid in (from other.main.chosen)
            )""",
        )


def _chosen_rows(full_name: str) -> str:
    return f"from store.{full_name} where usubjid in (from other.main.chosen)"
