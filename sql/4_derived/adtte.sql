-- one row per: eligible subject and endpoint
-- unit: day (adt - startdt) and month, unrounded
-- why: an endpoint is declared in study/endpoints; a new one needs no change here
-- source: CDISC ADaM ADTTE; PROTOCOL, Endpoints
with started as (
    select e.paramcd, e.param, s.usubjid, s.siteid, s.rtsiteid, d.adt as startdt
    from study.endpoints e
    join derived.dates d on d.date_name = e.date_name
    join derived.adsl s on s.usubjid = d.usubjid
    where e.role = 'start' and s.eligible_fl = 'Y'
),
candidate as (
    select
        b.*, e.role, e.step_rank, e.description, d.adt, d.srcdom, d.srcvar, d.srcseq,
        -- the earliest event holds, else the first censoring date on record
        row_number() over (
            partition by b.usubjid, b.paramcd
            order by e.role = 'censor', case e.role when 'event' then d.adt end, e.step_rank
        ) as choice
    from started b
    join study.endpoints e on e.paramcd = b.paramcd and e.role <> 'start'
    join derived.dates d on d.usubjid = b.usubjid and d.date_name = e.date_name
    where d.adt >= b.startdt
)
select
    c.usubjid, c.siteid, c.rtsiteid, null as lesion_id, c.paramcd, c.param, c.startdt, c.adt,
    c.adt - c.startdt as aval_days,
    (c.adt - c.startdt) / p.days_per_month as aval_months,
    case c.role when 'event' then 0 else c.step_rank end as cnsr,
    case c.role when 'event' then c.description end as evntdesc,
    case c.role when 'censor' then c.description end as cnsdtdsc,
    c.srcdom, c.srcvar, c.srcseq
from candidate c
cross join study.protocol p
where c.choice = 1
