-- one row per: linked subject and irradiated target
-- why: taken at the first assessment that the radiotherapy centre marks as restaging, before any new systemic therapy
-- source: PROTOCOL, Response after SRT
with marked as (
    -- by the day of the mark: the scans of the target's lesions may be some days apart
    select i.*, d.next_therapy_dt, i.rsdt < coalesce(d.next_therapy_dt, i.rsdt + 1) as is_before
    from assessed.infield_responses i
    join assessed.subject_dates d using (usubjid)
    where i.restaging_fl = 'Y'
),
restaging as (
    select *, min(rsdt) over (partition by usubjid, target_id) as restagingdt from marked where is_before
),
worst as (
    select
        r.usubjid, r.target_id, any_value(r.restagingdt) as restagingdt,
        -- the worst lesion stands for the target; not evaluable only when none is
        coalesce(arg_max(r.response, struct_pack(o := s.worst_order, id := r.lesion_id)) filter (s.worst_order is not null), 'NE') as response,
        list_sort(list(struct_pack(lesion_id := r.lesion_id, said := r.lesion_id || ': ' || r.response || ', ' || r.reason))) as reasons,
        any_value(r.finding) as finding, any_value(r.method) as method, any_value(r.reported_response) as reported_response
    from restaging r
    join study.response s on s.code = r.response
    where r.rsdt = r.restagingdt
    group by r.usubjid, r.target_id
),
too_late as (
    select usubjid, target_id, printf('marked as restaging on %s, not before the next therapy of %s', min(rsdt), any_value(next_therapy_dt)) as reason
    from marked where not is_before
    group by usubjid, target_id
)
select
    t.usubjid, t.target_id, t.anatomic_site, w.restagingdt, coalesce(w.response, 'NE') as response, w.finding, w.method,
    w.reported_response,
    coalesce(array_to_string([r.said for r in w.reasons], '; '), l.reason, 'no assessment of this target is marked as restaging') as reason
from harmonised.targets t
join assessed.subject_dates d using (usubjid)
left join worst w using (usubjid, target_id)
left join too_late l using (usubjid, target_id)
join assessed.delivered_courses c on c.usubjid = t.usubjid and c.centre = t.centre and c.course_id = t.course_id
where c.n_fractions > 0
