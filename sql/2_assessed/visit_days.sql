-- one row per: linked subject and visit number of the oncology centre
-- why: scans of one day are one assessment, also where a bone scan has a visit number of its own
-- source: RECIST 1.1, 3.2 and 4.3.1: one sum of the targets at an assessment
with visit as (
    select usubjid, visitnum, min(trdt) as adt, max(trdt) as last_dt from harmonised.measurements
    where visitnum is not null and trdt is not null
    group by usubjid, visitnum
)
select usubjid, visitnum, adt, last_dt, min(visitnum) over (partition by usubjid, adt) as as_visitnum
from visit
