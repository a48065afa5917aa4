-- one row per: step of the flow of subjects
-- why: the paper's Figure 1 as a table: who was received, who was lost, and why
-- source: PROTOCOL, Eligibility (evaluable for each endpoint, with reasons); CONSORT (flow of participants)
with subject as (
    select distinct usubjid from harmonised.links
),
known as (
    select usubjid, link_state, link_reason from harmonised.links
    qualify row_number() over (partition by usubjid order by centre) = 1
),
begun as (
    -- eligible subjects by what an endpoint may begin with
    select d.date_name, count(distinct d.usubjid) as n
    from (
        select usubjid, date_name from derived.dates
        union all
        select usubjid, date_name from derived.lesion_dates
    ) d
    join derived.adsl s on s.usubjid = d.usubjid and s.eligible_fl = 'Y'
    where d.date_name in (select date_name from study.endpoints where role = 'start')
    group by d.date_name
),
evaluable as (
    select
        e.paramcd, e.endpoint_order, l.label, count(distinct a.usubjid) as n, coalesce(any_value(b.n), 0) as n_begun,
        (select count(*) from derived.adsl where eligible_fl = 'Y') as n_eligible
    from study.endpoints e
    join study.date_name l on l.code = e.date_name
    left join derived.adtte a using (paramcd)
    left join begun b on b.date_name = e.date_name
    where e.role = 'start'
    group by e.paramcd, e.endpoint_order, l.label
),
step as (
    select 1 as step_no, 'received' as step, 'Study codes received' as label, count(*) as n, null as reason from subject
    union all
    select 2, 'linked', 'Linked across centres', count(*) filter (link_state = 'linked'),
        (select string_agg(reason || ': ' || n, '; ' order by reason) from (
            select link_reason as reason, count(*) as n from known where link_state <> 'linked' group by link_reason))
    from known
    union all
    select 3, 'assessed', 'With exposure and tumour assessments', count(*) filter (trtsdt is not null and last_assessed_dt is not null),
        null from derived.adsl
    union all
    select 4, 'eligible', 'Eligible', count(*) filter (eligible_fl = 'Y'),
        (select string_agg(reason || ': ' || n, '; ' order by reason) from (
            select status || ', ' || coalesce(main_reason, 'no reason') as reason, count(*) as n
            from validated.eligibility where status <> 'eligible' group by all))
    from derived.adsl
    union all
    select 4 + row_number() over (order by endpoint_order), 'evaluable_' || lower(paramcd), 'Evaluable for ' || paramcd, n,
        nullif(concat_ws('; ', case when n_begun < n_eligible then 'without a day, ' || label || ': ' || (n_eligible - n_begun) end,
            case when n < n_begun then 'nothing on record from then on: ' || (n_begun - n) end), '')
    from evaluable
)
select
    step_no, step, label, n,
    -- every endpoint starts from the eligible subjects, the other steps follow each other
    coalesce(case when step like 'evaluable%' then (select e.n from step e where e.step = 'eligible') else lag(n) over (order by step_no) end - n, 0)
        as n_lost,
    reason
from step
