-- one row per: subject with a delivered fraction
-- why: radiotherapy for pain before it, or to other lesions, is not the treatment of the oligo-progression
-- source: PROTOCOL, Oligo-progression; Second progression and PFS2RT begin with the first fraction of its treatment
with first_pd as (
    select usubjid, min(adt) as oligodt from assessed.timepoint_responses
    where series = 'first_line' and overall_response = 'PD'
    group by usubjid
),
treating as (
    select distinct g.usubjid, t.centre, t.course_id
    from assessed.lesion_progressions g
    join harmonised.lesion_links k using (usubjid, lesion_id)
    join harmonised.targets t on t.usubjid = k.usubjid and t.centre = k.centre and t.target_id = k.target_id
),
given as (
    select
        c.usubjid, c.rtstdt, f.oligodt, coalesce(c.rtstdt >= f.oligodt, false) as is_from,
        coalesce(coalesce(c.rtendt, c.rtstdt) >= f.oligodt, false) as is_after,
        t.course_id is not null as is_linked
    from assessed.delivered_courses c
    left join first_pd f using (usubjid)
    left join treating t on t.usubjid = c.usubjid and t.centre = c.centre and t.course_id = c.course_id
    where c.n_fractions > 0 and c.rtstdt is not null
)
select
    usubjid,
    -- begun from the progression on, or else still given then; without a link to a progressing lesion, which is a query, the
    -- first of these; where none was, the first of any, so that a rule can still speak of it
    coalesce(
        min(rtstdt) filter (is_from and is_linked), min(rtstdt) filter (is_after and is_linked), min(rtstdt) filter (is_from),
        min(rtstdt) filter (is_after), min(rtstdt)
    ) as rtstdt,
    case when bool_or(is_after) then 'Y' else 'N' end as oligo_fl, any_value(oligodt) as oligodt
from given
group by usubjid
