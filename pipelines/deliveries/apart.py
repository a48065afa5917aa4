"""Records whose keys differ only in what cannot be read: each its own question, which later deliveries keep."""

from contextlib import closing
from pathlib import Path

from pipelines import warehouse
from pipelines.deliveries.history import rewrite, write_partial_dates
from pipelines.staging_findings import MARK
from pipelines.study import sql_literal as lit

APART = "rule_id, table_name, record_key, field"
FILE = "apart.parquet"


def tell_apart(before: Path | None, draft: Path) -> None:
    """Add to `record_key` of findings, where two records share one, a digest of what could not be read of each.

    A question is not named by the value that was received, so this happens only where it must: from the first delivery
    on in which two records share a key, for all that share it now or later. The one that stood there alone before keeps
    its name. `apart.parquet` beside the findings, a row per shared key, is what the next delivery goes by: `alone`, the
    digest of what keeps its name. Reads and replaces `findings.parquet` of `draft`, and its partial dates.
    """
    target = draft / "findings.parquet"
    known, held = (f"select {APART}, null::varchar as alone from found where false" for _ in range(2))
    if before is not None:
        held = f"""
            select {APART}, min(coalesce(raw_key, '')) as alone from ({_findings(before / "findings.parquet")})
            group by all having count(distinct coalesce(raw_key, '')) = 1
        """
        if (before / FILE).exists():
            known = f"from read_parquet({lit(str(before / FILE))})"
    with closing(warehouse.memory()) as con:
        con.execute("set threads = 1")
        con.execute(f"create view found as {_findings(target)}")
        con.execute(f"""
            create table apart as
            with shared as (
                select {APART} from found group by all having count(distinct coalesce(raw_key, '')) > 1
            )
            {known} union all
            select * from (shared anti join ({known}) using ({APART})) left join ({held}) using ({APART})
        """)
        if not con.execute("select 1 from apart limit 1").fetchall():
            return
        mine = f"concat(record_key, '|', coalesce(raw_key, {lit(MARK)}))"
        moved = f"case when is_apart and coalesce(raw_key, '') is distinct from alone then {mine} else record_key end"
        named = f"""
            select * exclude (is_apart, alone) replace ({moved} as record_key)
            from found left join (select *, true as is_apart from apart) using ({APART})
        """
        rewrite(con, f"from ({named}) order by all", target)
        rewrite(con, "from apart order by all", draft / FILE)
        write_partial_dates(con, draft)


def _findings(path: Path) -> str:
    """SQL of the findings with their records' keys as staging made them."""
    plain = f"regexp_replace(record_key, '\\|{MARK}[0-9a-f]*$', '')"
    return f"select * replace ({plain} as record_key) from read_parquet({lit(str(path))})"
