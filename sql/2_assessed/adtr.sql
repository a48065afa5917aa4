-- one row per: linked subject, lesion and assessment since the lesion was first seen
-- unit: mm; long axis, short axis for nodes
-- why: a lesion that nothing was sent for at a visit is not assessed there, which is not the same as absent
-- source: RECIST 1.1, 3.1 and 4.3.2 (absent = 0, too small to measure = 5); PROTOCOL, Sum
with same_day as (
    select usubjid, visitnum, as_visitnum from assessed.visit_days where as_visitnum <> visitnum
),
measured as (
    select
        m.usubjid, m.lesion_id, coalesce(d.as_visitnum, m.visitnum) as visitnum, m.trdt, m.diameter_mm, m.lesion_state, m.slice_mm, m.method, m.centre, m.delivery_id,
        m.source_file, m.source_row, 0 as is_compound
    from harmonised.measurements m
    left join same_day d on d.usubjid = m.usubjid and d.visitnum = m.visitnum
    anti join assessed.lesion_parts k on k.usubjid = m.usubjid and k.part_id = m.lesion_id
    where m.visitnum is not null and m.trdt is not null
    union all
    select *, 1 from assessed.part_measurements
),
twice as (
    -- by a number, which groups faster than three columns; who shares it by chance is only sorted below, and none is lost
    select hash(usubjid, lesion_id, visitnum) as place from measured group by all having count(*) > 1
),
measurement as (
    select * from measured anti join twice on twice.place = hash(usubjid, lesion_id, visitnum)
    union all
    -- twice in one visit: what was looked at, then the later one; the few are sorted, not all
    select * from (select * from measured semi join twice on twice.place = hash(usubjid, lesion_id, visitnum))
    qualify row_number() over (
        partition by usubjid, lesion_id, visitnum
        order by diameter_mm is null and coalesce(lesion_state, 'not_assessed') = 'not_assessed', is_compound, trdt desc, source_row,
            diameter_mm desc
    ) = 1
),
first_fraction as (
    select k.usubjid, k.lesion_id, min(c.rtstdt) as rtstdt
    from harmonised.lesion_links k
    join harmonised.targets t using (usubjid, centre, target_id)
    join assessed.delivered_courses c using (usubjid, centre, course_id)
    where c.n_fractions > 0
    group by k.usubjid, k.lesion_id
),
followed as (
    select m.usubjid, m.lesion_id, min(v.adt) as first_dt
    from measurement m
    join assessed.visits v using (usubjid, visitnum)
    group by m.usubjid, m.lesion_id
),
assessment as (
    select
        l.usubjid, l.lesion_id, v.visitnum, v.adt, l.lesion_role, l.anatomic_site, s.organ, s.nodal_fl as node_fl, l.measurable_fl,
        m.diameter_mm,
        coalesce(m.lesion_state, case when m.diameter_mm > 0 then 'present' when m.diameter_mm = 0 then 'absent' end, 'not_assessed')
            as lesion_state,
        case
            when m.diameter_mm > 0 then m.diameter_mm
            when m.diameter_mm = 0 or m.lesion_state = 'absent' then 0
            when m.lesion_state = 'too_small' then p.too_small_mm
        end as size_mm,
        case when f.rtstdt < v.adt then 'Y' else 'N' end as irradiated_fl,
        p.normal_node_mm, m.slice_mm, m.method, m.centre, m.delivery_id, m.source_file, m.source_row
    from followed b
    join harmonised.lesions l using (usubjid, lesion_id)
    join assessed.visits v on v.usubjid = b.usubjid and v.adt >= b.first_dt
    left join measurement m on m.usubjid = l.usubjid and m.lesion_id = l.lesion_id and m.visitnum = v.visitnum
    left join first_fraction f on f.usubjid = l.usubjid and f.lesion_id = l.lesion_id
    left join study.anatomic_site s on s.code = l.anatomic_site
    cross join study.protocol p
)
select
    usubjid, lesion_id, visitnum, adt, lesion_role, anatomic_site, organ, node_fl, measurable_fl, diameter_mm, lesion_state,
    -- merged: the size counts for the other lesion, and neither is gone before the whole is
    case when lesion_state = 'merged' then 0 else size_mm end as counted_mm,
    case
        when size_mm = 0 or (node_fl = 'Y' and size_mm < normal_node_mm) then 'Y'
        when size_mm is not null or lesion_state <> 'not_assessed' then 'N'
    end as gone_fl,
    irradiated_fl, slice_mm, method, centre, delivery_id, source_file, source_row
from assessment
