"""Independent readers of the study's images: each assessed by the same SQL as the oncology centre, and kept apart.

A read, one subject as one reader sees it, takes the place of the subject. Whoever reads chooses and names lesions
alone: a label of the radiotherapy centre means the oncology centre's lesion and never a reader's, so that the
irradiated ones are found by their anatomic site, as where a centre gives no label.
"""

from functools import cache
from typing import TYPE_CHECKING

from pipelines import models, rerun, study
from pipelines.touched import CHANGED
from pipelines.warehouse import count, with_room

if TYPE_CHECKING:
    import duckdb

TABLE = "assessed.adrs_readers"
RESPONSES = "assessed.adrs"
OWN = {"harmonised.lesions": "harmonised.reader_lesions", "harmonised.measurements": "harmonised.reader_measurements"}
LABELLED = "harmonised.targets"
# in-field and restaging responses also rest on what the radiotherapy centre found, and are not a reader's alone
PARAMETERS = ("TRGRESP", "NTRGRESP", "NEWLPROG", "OVRLRESP", "OVRLPRT", "BOR", "CBOR")
AT_ONCE = 250_000  # reads; bounds the memory


@cache
def chain() -> tuple[models.Model, ...]:
    """The models between lesions with their measurements and the responses, in order."""
    return rerun.chain(RESPONSES, lambda model: any(d in OWN for d in model.deps))


def reads() -> tuple[str, ...]:
    """Every stored table that a reader's responses are derived from."""
    made = {m.full_name for m in chain()}
    return tuple(sorted(({d for m in chain() for d in m.deps} - made - OWN.keys()) | set(OWN.values())))


def derive(con: "duckdb.DuckDBPyConnection", only_touched: bool = False) -> int:
    """Make `assessed.adrs_readers`, or replace the rows of the changed subjects; returns the rows of the table.

    | in, in `store` | grain |
    |---|---|
    | `harmonised.reader_lesions` | one row per subject, reader and lesion |
    | `harmonised.reader_measurements` | one row per subject, reader, lesion and assessment; mm |
    | the other tables of `reads()` | as declared |

    | out | grain |
    |---|---|
    | `usubjid, eval, evalid, paramcd, adt, avalc, reason` | one row per subject, reader, parameter and assessment |

    Without an independent reader nothing is made again. Source of the rule: RECIST 1.1, as `sql/2_assessed` says;
    PROTOCOL, RECIST 1.1.
    """
    table = study.tables()[TABLE]
    listed = ", ".join(f'"{c.name}" {c.sql_type}' for c in table.columns)
    where = f"where usubjid in (from {CHANGED})" if only_touched else ""
    if only_touched:
        con.execute(f"delete from store.{TABLE} {where}")
    else:
        con.execute(f"create or replace table store.{TABLE} ({listed})")
    found = f"select distinct usubjid, eval, evalid from store.{OWN['harmonised.measurements']} {where}"
    buckets = -(-count(con, f"({found})") // AT_ONCE)
    for bucket in range(buckets):
        part = f"where hash(usubjid) % {buckets} = {bucket}" if buckets > 1 else ""
        _derive_some(con, f"select *, concat_ws('|', usubjid, eval, evalid) as read_id from ({found}) {part}")
    return count(con, f"store.{TABLE}")


def _derive_some(con: "duckdb.DuckDBPyConnection", chosen: str) -> None:
    """The responses of some reads."""
    lesions_and_sizes = {
        name: f"""select r.read_id as usubjid, x.* exclude (usubjid, eval, evalid)
            from store.{own} x join other.main.chosen r using (usubjid, eval, evalid)"""
        for name, own in OWN.items()
    }
    unlabelled = {LABELLED: f"select * replace (null::varchar as lesion_label) from ({_as_read(LABELLED)})"}
    with rerun.other(con, chosen):
        last = rerun.remake(con, chain(), _as_read, lesions_and_sizes | unlabelled, reasons=True)
        named = ", ".join(map(study.sql_literal, PARAMETERS))
        with_room(
            con,
            f"""insert into store.{TABLE}
            select r.usubjid, r.eval, r.evalid, a.paramcd, a.adt, a.avalc, a.reason from (\n{last}\n) a
            join other.main.chosen r on r.read_id = a.usubjid
            where a.paramcd in ({named})""",
        )


def _as_read(full_name: str) -> str:
    """The rows of a subject once for each who reads it."""
    return f"""select x.* replace (r.read_id as usubjid)
        from store.{full_name} x join other.main.chosen r on r.usubjid = x.usubjid"""
