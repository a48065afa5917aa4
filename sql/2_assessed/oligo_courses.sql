-- one row per: linked subject whose first progression was irradiated
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
)
select
    c.usubjid,
    -- without a link to a progressing lesion, which is a query, the first course that was given from the progression on
    coalesce(min(c.rtstdt) filter (t.course_id is not null), min(c.rtstdt)) as rtstdt
from first_pd f
join assessed.delivered_courses c using (usubjid)
left join treating t on t.usubjid = c.usubjid and t.centre = c.centre and t.course_id = c.course_id
where c.n_fractions > 0 and c.rtstdt is not null and coalesce(c.rtendt, c.rtstdt) >= f.oligodt
group by c.usubjid
