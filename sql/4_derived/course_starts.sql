-- one row per: course of a linked subject with a first fraction
-- why: an endpoint that begins with the first fraction says which record that day came from
-- source: CDISC ADaM ADTTE (SRCDOM, SRCVAR, SRCSEQ); PROTOCOL, Radiotherapy
with begun as (
    select c.usubjid, c.centre, c.course_id, c.rtstdt, c.basis
    from assessed.delivered_courses c
    join assessed.subject_dates d using (usubjid)
    where c.n_fractions > 0 and c.rtstdt is not null
)
select
    b.usubjid, b.centre, b.course_id, b.rtstdt, 'fractions' as srcdom, 'fxdt' as srcvar,
    min(printf('%s %s:%s', f.centre, f.source_file, f.source_row)) as srcseq
from begun b
join harmonised.fractions f
    on f.usubjid = b.usubjid and f.centre = b.centre and f.course_id = b.course_id and f.fxdt = b.rtstdt and f.dose_gy > 0
where b.basis = 'fractions'
group by b.usubjid, b.centre, b.course_id, b.rtstdt
union all
select b.usubjid, b.centre, b.course_id, b.rtstdt, 'courses', 'rtstdt', printf('%s %s:%s', c.centre, c.source_file, c.source_row)
from begun b
join harmonised.courses c using (usubjid, centre, course_id)
where b.basis = 'total'
