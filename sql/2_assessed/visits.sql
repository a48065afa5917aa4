-- one row per: linked subject and tumour assessment of the oncology centre
-- why: a visit has one date, that of its first component, so that a progression dates from its first sign
-- source: RECIST 1.1, 3.2 (baseline); PROTOCOL, After radiotherapy (last scan before the first fraction)
with visit as (
    select usubjid, as_visitnum as visitnum, min(adt) as adt, max(last_dt) as last_dt from assessed.visit_days
    group by usubjid, as_visitnum
),
placed as (
    select
        v.*, d.rtstdt,
        -- without a scan before the first dose the earliest one is the baseline; a rule asks about its date
        coalesce(max(v.adt) filter (v.adt <= d.trtsdt) over subject, min(v.adt) over subject) as baseline_dt,
        max(v.adt) filter (v.adt <= d.rtstdt) over subject as rt_baseline_dt
    from visit v
    join assessed.subject_dates d using (usubjid)
    window subject as (partition by v.usubjid)
)
select
    usubjid, visitnum, adt, last_dt,
    case when adt = baseline_dt then 'Y' else 'N' end as baseline_fl,
    case when adt = rt_baseline_dt then 'Y' else 'N' end as rt_baseline_fl,
    case when adt > rtstdt then 'Y' else 'N' end as after_rt_fl
from placed
