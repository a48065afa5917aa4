"""`restage recist`: anyone's TU and TR in, RS out, with what could not be read beside it."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import study
from pipelines.errors import UsageError
from pipelines.readers.standard import hold_writable, read_standard
from pipelines.recist.assess import assess, open_store
from pipelines.recist.options import read_options

if TYPE_CHECKING:
    import duckdb

HERE = Path(__file__).resolve().parent / "sql"
TU = ("USUBJID", "TULNKID", "TUORRES", "TULOC", "VISITNUM", "TUDTC")
TU_READER = ("TUEVAL", "TUEVALID")
TR = ("USUBJID", "TRLNKID", "TRTESTCD", "TRSTRESN", "TRSTRESC", "VISITNUM", "TRDTC")
TR_READER = ("TREVAL", "TREVALID")


def run(tumours: Path, measurements: Path, out: Path, options: Path | None = None) -> dict[str, int]:
    """Responses by RECIST 1.1 from files in the shape of SDTM; returns counts: subjects, responses, rejected.

    | in | grain |
    |---|---|
    | `tumours`: `USUBJID TULNKID TUORRES TULOC VISITNUM TUDTC [TUEVAL TUEVALID]` | one row per lesion identified |
    | `measurements`: `USUBJID TRLNKID TRTESTCD TRSTRESN TRSTRESC [TRSTAT] VISITNUM TRDTC [TREVAL TREVALID]` | one row \
per result; mm |

    | out | grain |
    |---|---|
    | `out`: `USUBJID [RSEVAL RSEVALID] VISITNUM RSDTC RSTESTCD RSSTRESC RSREASON` | one row per subject, visit after \
the baseline and response; and two per subject (`BESTRESP`, `CBRESP`) |
    | `<out>.rejected.csv`: `source_file, source_row, reason` | one row per record that could not be read |

    The first visit of a subject is the baseline and day 0. Source of the rules: RECIST 1.1 as `sql/2_assessed` says.
    Raises `UsageError` for files and options that cannot be read.
    """
    refused = Path(f"{out}.rejected.csv")
    hold_writable([out, refused], [tumours, measurements])
    chosen = read_options(options) if options else {}
    con = open_store(chosen)
    con.execute("create schema raw")
    given = _read(con, tumours, "tu", TU, TU_READER) | _read(con, measurements, "tr", TR, ("TRSTAT", *TR_READER))
    make_responses(con, tumours.name, measurements.name)
    with_readers = bool(given & {*TU_READER, *TR_READER})
    columns = "*" if with_readers else '* exclude ("RSEVAL", "RSEVALID")'
    _write(con, f"select {columns} from raw.rs", out)
    tu, tr = study.sql_literal(tumours.name), study.sql_literal(measurements.name)
    rejected = f"""
        select source_file, source_row, reason from (
            select 0 as place, {tu} as source_file, source_row, problem as reason from raw.tumours
            union all select 0, {tu}, source_row, reason from raw.tu_broken
            union all select 1, {tr}, source_row, problem from raw.records
            union all select 1, {tr}, source_row, reason from raw.tr_broken
        ) where reason is not null order by place, source_row::bigint, reason"""
    _write(con, rejected, refused)
    return {
        "subjects": _count(con, "(select distinct usubjid from raw.reads)"),
        "responses": _count(con, "raw.rs"),
        "rejected": _count(con, f"({rejected})"),
    }


def _read(
    con: "duckdb.DuckDBPyConnection", path: Path, table: str, needed: Sequence[str], optional: Sequence[str]
) -> set[str]:
    """Make `raw.<table>`, all text, and `raw.<table>_broken`, what is no record; returns the optional columns there."""
    found = read_standard(path, needed, optional)
    con.register("found", found.rows)
    absent = [name for name in optional if name.lower() not in found.rows.column_names]
    cells = "".join(f", null::varchar as {name.lower()}" for name in absent)
    # R writes a cell without a value as NA
    con.execute(
        f"create table raw.{table} as select source_row, nullif(columns(* exclude source_row), 'NA'){cells} from found"
    )
    con.unregister("found")
    con.execute(f"create table raw.{table}_broken (source_row varchar, reason varchar)")
    if found.rejected:
        con.executemany(f"insert into raw.{table}_broken values (?, ?)", found.rejected)
    return {*optional} - {*absent}


def make_responses(con: "duckdb.DuckDBPyConnection", tumours: str, measurements: str) -> None:
    """From `raw.tu` and `raw.tr` to `raw.rs`: clean, hand over in the study's shape, assess, name in words of RS.

    Raises `UsageError`, with the names of the files, where only the first tells readers apart.
    """
    con.execute(f"create table raw.given as {_sql('given')}")
    if con.execute("from raw.given where (tu_eval or tu_evalid) and not (tr_eval or tr_evalid)").fetchall():
        raise UsageError(f"{measurements}: {tumours} tells readers apart (TUEVAL), so TREVAL is expected here.")
    con.execute("use store")
    for name in ("tumours", "results", "reads", "identified", "lesions", "records", "measurements"):
        con.execute(f"create table memory.raw.{name} as {_sql(name)}")
    con.execute(
        """create table memory.raw.visits as
        select read_id, visit, dense_rank() over (order by visit)::integer as visitnum, min(dt) as dt
        from memory.raw.measurements group by read_id, visit"""
    )
    con.execute(
        """insert into harmonised.lesions by name
        select read_id as usubjid, lesion_id, lesion_role, tuloc as anatomic_site, measurable_fl, dt as tudt
        from memory.raw.lesions"""
    )
    con.execute(
        """insert into harmonised.measurements by name
        select read_id as usubjid, lesion_id, v.visitnum, m.dt as trdt, diameter_mm, lesion_state, source_file,
            source_row
        from memory.raw.measurements m join memory.raw.visits v using (read_id, visit)"""
    )
    con.execute(
        """insert into assessed.subject_dates by name
        select read_id as usubjid, min(dt) as trtsdt from memory.raw.visits group by read_id"""
    )
    con.execute(
        """create or replace table study.anatomic_site as
        select tuloc as code, tuloc as label, min(organ) as organ, min(node_fl) as nodal_fl
        from memory.raw.lesions group by tuloc"""
    )
    con.execute("use memory")
    assess(con)
    con.execute("use store")
    con.execute(f"create table memory.raw.rs as {_sql('rs')}")
    con.execute("use memory")


def _sql(name: str) -> str:
    """A statement of this folder; its names `raw.…` lie in the private database, `study.…` in the store."""
    return (HERE / f"{name}.sql").read_text(encoding="utf-8").replace(" raw.", " memory.raw.")


def _write(con: "duckdb.DuckDBPyConnection", select: str, path: Path) -> None:
    con.execute(f"copy ({select}) to {study.sql_literal(str(path))} (format csv, header true)")


def _count(con: "duckdb.DuckDBPyConnection", source: str) -> int:
    found: Any = con.execute(f"select count(*) from {source}").fetchall()
    return int(found[0][0])
