-- one row per: linked subject and named date
-- why: endpoints are declared on these names; each date carries the record it came from
-- source: CDISC ADaM ADTTE (SRCDOM, SRCVAR, SRCSEQ); PROTOCOL, Endpoints
with first_dose as (
    select d.usubjid, d.trtsdt as adt, min(printf('%s %s:%s', e.centre, e.source_file, e.source_row)) as srcseq
    from assessed.subject_dates d
    join harmonised.exposures e on e.usubjid = d.usubjid and e.exstdt = d.trtsdt
    group by d.usubjid, d.trtsdt
),
seen as (
    -- two centres that saw the patient on one day: always the same of them
    select
        usubjid, max(struct_pack(adt := fudt, centre := centre, file := source_file, place := source_row)) filter (fudt is not null) as last,
        min(struct_pack(adt := death_dt, centre := centre, file := source_file, place := source_row))
            filter (death_dt is not null) as death
    from harmonised.followup group by usubjid
),
progression as (
    select
        p.*, o.rtstdt, o.usubjid is not null as is_irradiated,
        printf('%s %s:%s', oligo_centre, oligo_source_file, oligo_source_row) as oligo_source,
        printf('%s %s:%s', second_centre, second_source_file, second_source_row) as second_source
    from assessed.progressions p
    left join assessed.oligo_courses o on o.usubjid = p.usubjid and o.oligo_fl = 'Y'
),
first_fraction as (
    select p.usubjid, p.rtstdt, min(struct_pack(dom := c.srcdom, var := c.srcvar, seq := c.srcseq)) as source
    from progression p
    join derived.course_starts c on c.usubjid = p.usubjid and c.rtstdt = p.rtstdt
    where p.is_irradiated
    group by p.usubjid, p.rtstdt
),
named as (
    select usubjid, 'first_dose' as date_name, adt, 'exposures' as srcdom, 'exstdt' as srcvar, srcseq from first_dose
    union all
    select usubjid, 'first_progression', oligodt, 'progressions', 'oligodt', oligo_source from progression
    union all
    select usubjid, 'irradiated_progression', oligodt, 'progressions', 'oligodt', oligo_source from progression where is_irradiated
    union all
    select usubjid, 'second_progression', seconddt, 'progressions', 'seconddt', second_source from progression
    union all
    -- an unknown recurrence has no pattern: whether it is local is a question to the radiotherapy centre
    select usubjid, 'second_' || second_pattern, seconddt, 'progressions', 'second_pattern', second_source
    from progression where second_pattern is not null
    union all
    select usubjid, 'first_fraction', rtstdt, source.dom, source.var, source.seq from first_fraction
    union all
    select usubjid, 'death', death.adt, 'followup', 'death_dt', printf('%s %s:%s', death.centre, death.file, death.place) from seen
    union all
    select usubjid, 'last_followup', last.adt, 'followup', 'fudt', printf('%s %s:%s', last.centre, last.file, last.place) from seen
    union all
    select usubjid, date_name, adt, srcdom, srcvar, srcseq from derived.assessment_dates
    union all
    select usubjid, date_name, adt, srcdom, srcvar, srcseq from derived.reported_dates
),
alive as (
    -- a scan after the last visit shows as well that the patient lived
    select usubjid, max(struct_pack(adt := adt, dom := srcdom, var := srcvar, seq := srcseq)) as seen
    from named
    where date_name in ('last_followup', 'last_assessment') and adt is not null
    group by usubjid
)
select usubjid, date_name, adt, srcdom, srcvar, srcseq
from (
    from named
    union all
    select usubjid, 'last_known_alive', seen.adt, seen.dom, seen.var, seen.seq from alive
)
join assessed.subject_dates using (usubjid)
where adt is not null
