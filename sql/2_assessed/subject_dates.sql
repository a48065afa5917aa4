-- one row per: linked subject
-- why: the dates that every assessment is anchored to, each in one place
-- source: PROTOCOL, Endpoints
with given as (
    -- a dose that nobody can read was given all the same; no dose is an interruption
    select e.usubjid, e.exstdt, e.exendt, max(e.exstdt) over (partition by e.usubjid) as last_start
    from harmonised.exposures e
    join study.protocol p on p.study_drug = e.extrt
    where e.exdose_mg is distinct from 0
),
drug as (
    select
        usubjid, min(exstdt) as trtsdt,
        -- the last interval without an end is still running, an earlier one ended before the next began
        case when not bool_or(exendt is null and (exstdt = last_start or exstdt is null)) then max(exendt) end as trtedt
    from given group by usubjid
),
radiotherapy as (
    select usubjid, min(rtstdt) as rtstdt, max(rtendt) as rtendt from assessed.delivered_courses
    where n_fractions > 0
    group by usubjid
),
last_seen as (
    select usubjid, min(next_therapy_dt) as next_therapy_dt, min(death_dt) as death_dt, max(fudt) as fudt
    from harmonised.followup group by usubjid
)
select s.usubjid, d.trtsdt, d.trtedt, r.rtstdt, r.rtendt, f.next_therapy_dt, f.death_dt, f.fudt
from harmonised.subjects s
left join drug d using (usubjid)
left join radiotherapy r using (usubjid)
left join last_seen f using (usubjid)
where s.link_state = 'linked'
