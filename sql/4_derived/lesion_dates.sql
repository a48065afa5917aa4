-- one row per: linked subject, irradiated lesion and named date
-- why: local control is declared on these names as the other endpoints are on those of derived.dates
-- source: PROTOCOL, Endpoints (LOCALCTRL) and In-field (marginal counts as distant; unknown is a query, never "out")
with look as (
    select
        i.usubjid, i.lesion_id,
        case when i.response = 'PD' then case f.counted_as
            when 'local' then 'lesion_progression' when 'unplaced' then 'lesion_unplaced_progression'
        end end as progression,
        struct_pack(adt := i.adt, centre := i.centre, file := i.source_file, place := i.source_row) as source
    from assessed.infield_responses i
    join study.field_relation f on f.code = coalesce(i.field_relation, 'unknown')
    where i.response <> 'NE'
),
named as (
    select usubjid, lesion_id, progression as date_name, min(source) as source from look
    where progression is not null
    group by usubjid, lesion_id, progression
    union all
    select usubjid, lesion_id, 'lesion_last_assessment', max(source) from look group by usubjid, lesion_id
)
select
    usubjid, lesion_id, date_name, source.adt as adt, 'infield_responses' as srcdom, 'adt' as srcvar,
    printf('%s %s:%s', source.centre, source.file, source.place) as srcseq
from named
union all
select i.usubjid, i.lesion_id, 'lesion_first_fraction', c.rtstdt, c.srcdom, c.srcvar, c.srcseq
from assessed.irradiated_lesions i
join harmonised.targets t on t.usubjid = i.usubjid and t.centre = i.rtsiteid and t.target_id = i.target_id
join derived.course_starts c on c.usubjid = t.usubjid and c.centre = t.centre and c.course_id = t.course_id
