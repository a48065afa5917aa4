-- one row per: course of a radiotherapy centre
-- unit: Gy; Gy squared for the sum of squares
-- why: delivered dose is the sum of fractions; a centre that keeps no fractions states the total, taken as equal fractions
-- source: PROTOCOL, Radiotherapy; Paper, Staging (one restaging follows courses that were given together)
with fraction_sum as (
    select
        usubjid, centre, course_id, sum(dose_gy) as dose_gy, count(distinct fraction_no) as n_fractions,
        sum(dose_gy * dose_gy) as sum_square_gy2, min(fxdt) as rtstdt, max(fxdt) as rtendt
    from harmonised.fractions
    where dose_gy > 0
    group by usubjid, centre, course_id
),
delivered as (
    select
        c.usubjid, c.centre, c.course_id, c.technique, c.planned_dose_gy, c.planned_fractions,
        coalesce(f.dose_gy, c.delivered_dose_gy) as dose_gy,
        coalesce(f.n_fractions, c.delivered_fractions) as n_fractions,
        coalesce(f.sum_square_gy2, c.delivered_dose_gy * c.delivered_dose_gy / nullif(c.delivered_fractions, 0)) as sum_square_gy2,
        coalesce(f.rtstdt, c.rtstdt) as rtstdt,
        coalesce(f.rtendt, c.rtendt) as rtendt,
        case when f.course_id is null then 'total' else 'fractions' end as basis
    from harmonised.courses c
    left join fraction_sum f using (usubjid, centre, course_id)
),
restaged as (
    -- begun before the restaging of this one was due: they are restaged together
    select c.usubjid, c.centre, c.course_id, max(o.rtendt) as restaging_from_dt
    from delivered c
    join delivered o on o.usubjid = c.usubjid
    cross join study.protocol p
    where o.n_fractions > 0 and o.rtstdt <= c.rtendt + p.restaging_days
    group by c.usubjid, c.centre, c.course_id
)
select d.*, r.restaging_from_dt
from delivered d
left join restaged r using (usubjid, centre, course_id)
