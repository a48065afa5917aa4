"""Each subject's endpoints with the records that they begin and end with, as they came."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.deliveries.raw import cells
from pipelines.reports.pages import note_of, page, reading, rows_of
from pipelines.reports.sources import SUBJECTS, landed
from pipelines.warehouse import Home, with_room

if TYPE_CHECKING:
    import duckdb

PLACE = r"^(\S+) (.*):([^:]*)$"  # of SRCSEQ: centre, file and row

# few subjects are shown of however many: each table is narrowed to them before it is joined
# an endpoint of a shown subject with both its dates, the sentence behind its end, and the records of both
TIMES = f"""
    select
        t.usubjid, t.paramcd, t.param, t.lesion_id, t.startdt, t.adt, t.cnsr, coalesce(t.evntdesc, t.cnsdtdsc) as ended,
        coalesce(l.srcseq, d.srcseq) as start_seq, t.srcseq as end_seq,
        case t.srcvar
            when 'oligodt' then p.oligo_reason
            when 'seconddt' then p.second_reason
            when 'second_pattern' then p.second_reason
            else i.reason
        end as reason
    from derived.adtte t
    join study.endpoints e on e.paramcd = t.paramcd and e.role = 'start'
    left join (from derived.lesion_dates where usubjid in ({SUBJECTS})) l
        on l.usubjid = t.usubjid and l.lesion_id = t.lesion_id and l.date_name = e.date_name
    left join (from derived.dates where usubjid in ({SUBJECTS})) d
        on d.usubjid = t.usubjid and d.date_name = e.date_name
    left join (from assessed.progressions where usubjid in ({SUBJECTS})) p on p.usubjid = t.usubjid
    left join (from assessed.infield_responses where usubjid in ({SUBJECTS})) i
        on i.usubjid = t.usubjid and i.lesion_id = t.lesion_id and i.adt = t.adt
    where t.usubjid in ({SUBJECTS})
    order by t.usubjid, e.endpoint_order, t.lesion_id
"""


def write_subjects(con: "duckdb.DuckDBPyConnection", home: Home) -> Path:
    """Write `reports/study/subjects.html`: a section per eligible subject, the first of them; it stays inside.

    Input: derived.adtte with the records that its dates come from, the reasons in assessed.progressions and
    assessed.infield_responses, and the landed files.
    """
    with reading(con):
        times = rows_of(con, TIMES)
        raw = _records(con, home)
        counted = con.execute("select count(*) from derived.adsl where eligible_fl = 'Y'").fetchall()[0][0]
    subjects: dict[str, dict[str, Any]] = {}
    for row in times:
        about = subjects.setdefault(row["usubjid"], {"times": [], "records": {}})
        about["times"].append(row)
        about["records"] |= {seq: raw[seq] for seq in (row["start_seq"], row["end_seq"]) if seq in raw}
    return page(
        "subjects.html", home.reports / "study" / "subjects.html",
        title="Where each subject's endpoints come from", note=note_of(home), subjects=subjects, n_all=counted,
    )  # fmt: skip


def _records(con: "duckdb.DuckDBPyConnection", home: Home) -> dict[str, dict[str, Any]]:
    """Each record that the shown times begin or end with, by SRCSEQ: delivery, sha256 and cells."""
    statement = f"""
        create or replace temp table shown as
        select distinct
            seq, regexp_extract(seq, '{PLACE}', 1) as centre, regexp_extract(seq, '{PLACE}', 2) as source_file,
            regexp_extract(seq, '{PLACE}', 3) as source_row
        from (select unnest([start_seq, end_seq]) as seq from ({TIMES})) where seq is not null
    """
    with_room(con, statement)
    landed(con, home)
    found = rows_of(con, "from temp.shown s join temp.raw_rows l using (centre, source_file, source_row)")
    return {row["seq"]: {**row, "raw": list(cells(row["raw"]).items())} for row in found}
