-- one row per: subject, reader, visit and response; and per subject and reader its best responses
with visit as (
    select distinct read_id, visitnum, visit from raw.visits
),
response as (
    select t.usubjid as read_id, v.visit, t.adt, u.testcd, u.result, u.reason
    from assessed.timepoint_responses t
    join visit v on v.read_id = t.usubjid and v.visitnum = t.visitnum
    cross join lateral (
        values ('TRGRESP', t.target_response, t.target_reason), ('NTRGRESP', t.nontarget_response, t.nontarget_reason),
        ('NEWLPROG', t.new_lesion, t.new_lesion_reason), ('OVRLRESP', t.overall_response, t.overall_reason)
    ) u(testcd, result, reason)
    where t.series = 'first_line'
    union all
    select usubjid, null, bor_dt, 'BESTRESP', bor, bor_reason from assessed.best_responses
    union all
    select usubjid, null, cbor_dt, 'CBRESP', cbor, cbor_reason from assessed.best_responses
)
select
    r.usubjid as "USUBJID", r.eval as "RSEVAL", r.evalid as "RSEVALID",
    regexp_replace(p.visit::varchar, '\.?0+$', '') as "VISITNUM", p.adt::varchar as "RSDTC", p.testcd as "RSTESTCD",
    p.result as "RSSTRESC", p.reason as "RSREASON"
from response p
join raw.reads r using (read_id)
order by r.usubjid, p.visit nulls last, p.testcd, r.eval nulls first, r.evalid nulls first
