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
    select
        usubjid, max(fudt) as fudt, arg_max(printf('%s %s:%s', centre, source_file, source_row), fudt) as fu_source,
        min(death_dt) as death_dt, arg_min(printf('%s %s:%s', centre, source_file, source_row), death_dt) as death_source
    from harmonised.followup group by usubjid
),
progression as (
    select
        p.*, coalesce(d.rtendt, d.rtstdt) >= p.oligodt as is_irradiated,
        printf('%s %s:%s', oligo_centre, oligo_source_file, oligo_source_row) as oligo_source,
        printf('%s %s:%s', second_centre, second_source_file, second_source_row) as second_source
    from assessed.progressions p
    join assessed.subject_dates d using (usubjid)
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
    select usubjid, 'last_assessment', last_assessed_dt, 'progressions', 'last_assessed_dt', null from progression
    union all
    select usubjid, 'death', death_dt, 'followup', 'death_dt', death_source from seen
    union all
    select usubjid, 'last_followup', fudt, 'followup', 'fudt', fu_source from seen
)
select usubjid, date_name, adt, srcdom, srcvar, srcseq from named
join assessed.subject_dates using (usubjid)
where adt is not null
