-- one row per: step of the flow of subjects
-- why: the paper's Figure 1 as a table: who was received, who was lost, and why
-- source: PROTOCOL, Eligibility; CONSORT (flow of participants)
with subject as (
    select distinct usubjid from harmonised.links
),
known as (
    select usubjid, link_state, link_reason from harmonised.links
    qualify row_number() over (partition by usubjid order by centre) = 1
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
    select 4 + row_number() over (order by e.endpoint_order), 'evaluable_' || lower(e.paramcd), 'Evaluable for ' || e.paramcd,
        count(distinct a.usubjid), null
    from study.endpoints e left join derived.adtte a using (paramcd)
    where e.role = 'start'
    group by e.paramcd, e.endpoint_order
)
select
    step_no, step, label, n,
    -- every endpoint starts from the eligible subjects, the other steps follow each other
    coalesce(case when step like 'evaluable%' then (select e.n from step e where e.step = 'eligible') else lag(n) over (order by step_no) end - n, 0)
        as n_lost,
    reason
from step
