-- one row per: linked subject
-- why: the dates that every assessment is anchored to, each in one place
-- source: PROTOCOL, Endpoints
with drug as (
    select
        e.usubjid,
        min(e.exstdt) filter (e.extrt = p.study_drug and e.exdose_mg > 0) as trtsdt,
        -- an interval without an end is still running
        case when not bool_or(e.exendt is null) filter (e.extrt = p.study_drug)
            then max(e.exendt) filter (e.extrt = p.study_drug and e.exdose_mg > 0) end as trtedt
    from harmonised.exposures e
    cross join study.protocol p
    group by e.usubjid
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
