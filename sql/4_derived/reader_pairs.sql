-- one row per: eligible subject, independent reader, and assessment and response of either (BOR, CBOR, PD: one a subject)
-- unit: day
-- why: two who read the same images are compared assessment by assessment, up to the first progression that either sees
-- source: RECIST 1.1, 3.2 and 4; PROTOCOL, RECIST 1.1 (what lies within one restaging is one assessment)
with own as (
    select usubjid, adt, paramcd, min(avalc) as avalc, min(reason) as reason
    from assessed.adrs
    semi join assessed.adrs_readers using (usubjid)
    where paramcd in ('TRGRESP', 'NTRGRESP', 'NEWLPROG', 'OVRLRESP', 'BOR', 'CBOR')
    group by usubjid, adt, paramcd
),
theirs as (
    select usubjid, eval, evalid, adt as reader_adt, paramcd, min(avalc) as reader_avalc, min(reason) as reader_reason
    from assessed.adrs_readers
    group by usubjid, eval, evalid, adt, paramcd
),
read as (
    select
        t.usubjid, t.eval, t.evalid, any_value(p.same_restaging_days) as tolerance_days,
        min(reader_adt) filter (paramcd = 'OVRLRESP' and reader_avalc = 'PD') as reader_pd_dt,
        (select min(o.adt) from own o where o.usubjid = t.usubjid and o.paramcd = 'OVRLRESP' and o.avalc = 'PD') as pd_dt
    from theirs t
    join derived.adsl s on s.usubjid = t.usubjid and s.eligible_fl = 'Y'
    cross join study.protocol p
    group by t.usubjid, t.eval, t.evalid
),
nearest as (
    -- each is the other's nearest
    select r.usubjid, r.eval, r.evalid, o.adt, t.reader_adt
    from read r
    join own o on o.usubjid = r.usubjid and o.paramcd = 'OVRLRESP'
    join theirs t on t.usubjid = r.usubjid and t.eval = r.eval and t.evalid = r.evalid and t.paramcd = 'OVRLRESP'
    where abs(t.reader_adt - o.adt) <= r.tolerance_days
    qualify row_number() over (partition by r.usubjid, r.eval, r.evalid, o.adt order by abs(t.reader_adt - o.adt), t.reader_adt) = 1
        and row_number() over (partition by r.usubjid, r.eval, r.evalid, t.reader_adt order by abs(t.reader_adt - o.adt), o.adt) = 1
),
assessment as (
    select r.*, o.adt, n.reader_adt
    from read r
    join own o on o.usubjid = r.usubjid and o.paramcd = 'OVRLRESP'
    left join nearest n on n.usubjid = r.usubjid and n.eval = r.eval and n.evalid = r.evalid and n.adt = o.adt
    union all
    select r.*, null, t.reader_adt
    from read r
    join theirs t on t.usubjid = r.usubjid and t.eval = r.eval and t.evalid = r.evalid and t.paramcd = 'OVRLRESP'
    anti join nearest n on n.usubjid = t.usubjid and n.eval = t.eval and n.evalid = t.evalid and n.reader_adt = t.reader_adt
),
compared as (
    select a.usubjid, a.eval, a.evalid, v.paramcd, a.adt, o.avalc, a.reader_adt, t.reader_avalc, o.reason, t.reader_reason
    from assessment a
    cross join (values ('TRGRESP'), ('NTRGRESP'), ('NEWLPROG'), ('OVRLRESP')) v (paramcd)
    left join own o on o.usubjid = a.usubjid and o.adt = a.adt and o.paramcd = v.paramcd
    left join theirs t
        on t.usubjid = a.usubjid and t.eval = a.eval and t.evalid = a.evalid and t.reader_adt = a.reader_adt and t.paramcd = v.paramcd
    where coalesce(least(a.adt, a.reader_adt) <= least(a.pd_dt, a.reader_pd_dt), true)
    union all
    select r.usubjid, r.eval, r.evalid, v.paramcd, o.adt, o.avalc, t.reader_adt, t.reader_avalc, o.reason, t.reader_reason
    from read r
    cross join (values ('BOR'), ('CBOR')) v (paramcd)
    left join own o on o.usubjid = r.usubjid and o.paramcd = v.paramcd
    left join theirs t on t.usubjid = r.usubjid and t.eval = r.eval and t.evalid = r.evalid and t.paramcd = v.paramcd
)
select
    usubjid, eval, evalid, paramcd, adt, avalc, reader_adt, reader_avalc,
    case when avalc = reader_avalc then 'Y' when avalc <> reader_avalc then 'N' end as agree_fl,
    null as days_later, reason, reader_reason
from compared
where avalc is not null or reader_avalc is not null
union all
-- a progression is the same one when it is seen within one restaging
select
    usubjid, eval, evalid, 'PD', pd_dt, case when pd_dt is not null then 'PD' end, reader_pd_dt, case when reader_pd_dt is not null then 'PD' end,
    case when pd_dt is null and reader_pd_dt is null or abs(reader_pd_dt - pd_dt) <= tolerance_days then 'Y' else 'N' end,
    reader_pd_dt - pd_dt, null, null
from read
