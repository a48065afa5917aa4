-- one row per: linked subject and irradiated lesion
-- why: a target without a lesion label stands for the progressing lesions at its anatomic site
-- source: PROTOCOL, Linking; FORMATS, Radiotherapy centres
with progressing as (
    select usubjid, lesion_id, visitnum from assessed.lesion_growth
    union
    select usubjid, lesion_id, visitnum from assessed.new_lesions where series = 'first_line' and status = 'UNEQUIVOCAL'
),
last_look as (
    -- the last scan that shows the lesion: planning imaging may be of one region alone
    select c.usubjid, c.centre, c.course_id, a.lesion_id, arg_max(a.visitnum, a.adt) as visitnum
    from assessed.delivered_courses c
    join assessed.adtr a on a.usubjid = c.usubjid and a.adt <= c.rtstdt and a.gone_fl is not null
    group by c.usubjid, c.centre, c.course_id, a.lesion_id
)
select
    k.usubjid, k.lesion_id, l.anatomic_site, l.measurable_fl, k.centre as rtsiteid, k.target_id,
    c.rtstdt as first_fraction_dt, k.link_basis
from harmonised.lesion_links k
join harmonised.lesions l using (usubjid, lesion_id)
join harmonised.targets t on t.usubjid = k.usubjid and t.centre = k.centre and t.target_id = k.target_id
join assessed.delivered_courses c on c.usubjid = k.usubjid and c.centre = k.centre and c.course_id = t.course_id
join assessed.subject_dates d on d.usubjid = k.usubjid
left join last_look b on b.usubjid = c.usubjid and b.centre = c.centre and b.course_id = c.course_id and b.lesion_id = k.lesion_id
left join progressing g on g.usubjid = k.usubjid and g.lesion_id = k.lesion_id and g.visitnum = b.visitnum
where c.n_fractions > 0 and (k.link_basis = 'label' or g.lesion_id is not null)
-- irradiated twice: in-field response counts from the first course
qualify row_number() over (partition by k.usubjid, k.lesion_id order by c.rtstdt, k.target_id) = 1
