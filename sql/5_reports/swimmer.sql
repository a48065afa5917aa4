-- one row per: subject and what happened to it: an interval or an event
-- unit: month since the first dose
-- why: each subject's course on one line; of a large cohort an evenly spaced sample by length of follow-up
-- source: PROTOCOL, Statistics and figures (swimmer)
with followed as (
    select *, coalesce(death_dt, greatest(fudt, last_assessed_dt, seconddt, rtendt, trtsdt)) as last_dt
    from derived.adsl
    where eligible_fl = 'Y' and trtsdt is not null
),
ranked as (
    select *, row_number() over (order by last_dt - trtsdt desc, usubjid) - 1 as place, (select count(*) from followed f) as n_all from followed
),
shown as (
    select r.*
    from ranked r
    cross join study.protocol p
    where r.n_all <= p.figure_subjects or r.place = 0
        or r.place * (p.figure_subjects - 1) // (r.n_all - 1) > (r.place - 1) * (p.figure_subjects - 1) // (r.n_all - 1)
),
thing as (
    select usubjid, 'follow_up' as kind, null as detail, trtsdt as start_dt, last_dt as end_dt from shown
    union all
    select
        -- a dose that nobody can read was given all the same
        e.usubjid, case when e.exdose_mg = 0 then 'interruption' else 'drug' end,
        case when e.exdose_mg = 0 then e.exadj else coalesce(e.exdose_mg || ' mg/day', 'dose not known') end,
        e.exstdt, least(coalesce(e.exendt, s.last_dt), s.last_dt)
    from harmonised.exposures e
    join shown s using (usubjid)
    join study.protocol p on p.study_drug = e.extrt
    union all
    -- sites that were begun on one day are one bar, to the last of their fractions
    select t.usubjid, 'radiotherapy', null, t.rtstdt, max(coalesce(t.rtendt, t.rtstdt))
    from derived.treated_sites t join shown using (usubjid)
    group by t.usubjid, t.rtstdt
    union all
    select t.usubjid, 'response', t.overall_response, min(t.adt), null
    from assessed.timepoint_responses t
    join shown s using (usubjid)
    where t.series = 'first_line' and t.overall_response in ('CR', 'PR')
        and t.adt <= coalesce(s.oligodt, t.adt) and t.adt < coalesce(s.next_therapy_dt, t.adt + 1)
    group by t.usubjid, t.overall_response
    union all
    select usubjid, 'response', srt_response, restagingdt, null from shown where srt_response in ('CR', 'PR')
    union all
    select usubjid, 'progression', 'first', oligodt, null from shown
    union all
    select usubjid, 'progression', 'second', seconddt, null from shown
    union all
    select usubjid, 'next_therapy', null, next_therapy_dt, null from shown
    union all
    select usubjid, case when death_dt is null then 'alive' else 'death' end, null, last_dt, null from shown
)
select
    s.usubjid, s.place + 1 as rank_no, s.n_all, t.kind, t.detail, t.start_dt, t.end_dt, (t.start_dt - s.trtsdt) / p.days_per_month as start_months,
    (t.end_dt - s.trtsdt) / p.days_per_month as end_months
from thing t
join shown s using (usubjid)
cross join study.protocol p
where t.start_dt is not null
