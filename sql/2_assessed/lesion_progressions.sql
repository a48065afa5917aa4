-- one row per: linked subject and lesion that progressed or appeared at the first progression
-- why: what is found between the first progression and the first fraction (planning imaging) belongs to it
-- source: PROTOCOL, Oligo-progression
with first_pd as (
    select t.usubjid, min(t.adt) as oligodt
    from assessed.timepoint_responses t
    where t.series = 'first_line' and t.overall_response = 'PD'
    group by t.usubjid
),
treated as (
    -- radiotherapy that was over before it is not its treatment; what was under way only where none began after it
    select f.usubjid, coalesce(min(c.rtstdt) filter (c.rtstdt >= f.oligodt), min(c.rtstdt)) as rtstdt
    from first_pd f
    join assessed.delivered_courses c on c.usubjid = f.usubjid and coalesce(c.rtendt, c.rtstdt) >= f.oligodt
    where c.n_fractions > 0
    group by f.usubjid
),
considered as (
    select v.usubjid, v.visitnum, v.adt
    from assessed.visits v
    join first_pd f using (usubjid)
    left join treated r using (usubjid)
    where v.adt between f.oligodt and greatest(f.oligodt, coalesce(r.rtstdt, f.oligodt))
),
progressing as (
    select g.usubjid, g.lesion_id, c.adt, 'N' as new_lesion_fl, g.reason
    from assessed.lesion_growth g
    join considered c using (usubjid, visitnum)
    union all
    select n.usubjid, n.lesion_id, c.adt, 'Y', n.reason
    from assessed.new_lesions n
    join considered c using (usubjid, visitnum)
    where n.series = 'first_line' and n.status = 'UNEQUIVOCAL'
)
select g.usubjid, g.lesion_id, l.anatomic_site, g.new_lesion_fl, g.reason
from progressing g
join harmonised.lesions l using (usubjid, lesion_id)
qualify row_number() over (partition by g.usubjid, g.lesion_id order by g.adt) = 1
