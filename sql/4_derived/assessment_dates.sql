-- one row per: linked subject and named date of a tumour assessment
-- why: first response, and the last adequate assessment before that which ends an observation, each with its record
-- source: PROTOCOL, Endpoints (DOR, TTR; sensitivity: next therapy, two or more missed assessments)
with adequate as (
    select usubjid, adt from assessed.timepoint_responses where overall_response <> 'NE'
    union all
    select usubjid, adt from assessed.infield_responses where response <> 'NE'
    union all
    select usubjid, adt from assessed.visits where baseline_fl = 'Y'
),
last_before as (
    select
        d.usubjid, p.oligodt, p.seconddt, d.death_dt, d.next_therapy_dt, p.last_assessed_dt,
        max(a.adt) filter (a.adt < p.oligodt) as before_first,
        max(a.adt) filter (a.adt < p.seconddt) as before_second,
        max(a.adt) filter (a.adt <= d.death_dt) as before_death,
        max(a.adt) filter (a.adt <= d.next_therapy_dt) as before_therapy
    from assessed.subject_dates d
    join assessed.progressions p using (usubjid)
    left join adequate a using (usubjid)
    group by all
),
named as (
    select usubjid, 'last_assessment' as date_name, last_assessed_dt as adt from last_before
    union all
    -- not assessed before it: nothing of the observation is left
    select usubjid, 'assessed_before_next_therapy', coalesce(before_therapy, next_therapy_dt) from last_before
    union all
    select usubjid, late.name, late.adt
    from (
        select
            usubjid, unnest([
                struct_pack(name := 'assessed_before_late_first', event := oligodt, adt := before_first),
                struct_pack(name := 'assessed_before_late_second', event := seconddt, adt := before_second),
                struct_pack(name := 'assessed_before_late_death', event := death_dt, adt := before_death)
            ]) as late
        from last_before
    )
    cross join study.protocol p
    where late.event - late.adt > p.missed_assessments * p.assessment_interval_days + p.assessment_tolerance_days
    union all
    -- before any progression and any next therapy, as the best response itself
    select b.usubjid, 'response', min(t.adt)
    from assessed.best_responses b
    join assessed.timepoint_responses t using (usubjid)
    where b.bor in ('CR', 'PR') and t.series = 'first_line' and t.overall_response in ('CR', 'PR')
    group by b.usubjid
),
record as (
    select usubjid, adt, struct_pack(dom := 'measurements', var := 'trdt', centre := centre, file := source_file, place := source_row) as source
    from assessed.adtr where source_row is not null
    union all
    -- seen by the radiotherapy centre alone
    select usubjid, adt, struct_pack(dom := 'restagings', var := 'rsdt', centre := centre, file := source_file, place := source_row)
    from assessed.infield_responses where visitnum is null
),
first_record as (
    -- the first row of an assessment stands for it
    select usubjid, adt, min(source) as source
    from record
    semi join named using (usubjid, adt)
    group by usubjid, adt
)
select
    n.usubjid, n.date_name, n.adt, r.source.dom as srcdom, r.source.var as srcvar,
    case when r.source is not null then printf('%s %s:%s', r.source.centre, r.source.file, r.source.place) end as srcseq
from named n
left join first_record r using (usubjid, adt)
where n.adt is not null
