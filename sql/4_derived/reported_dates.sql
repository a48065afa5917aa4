-- one row per: linked subject and named date of a progression as it was reported
-- why: shows what would follow from the reported responses; no response and no endpoint but this analysis reads them
-- source: PROTOCOL, RECIST 1.1 (compared, never copied) and Endpoints (sensitivity: reported response)
with reported as (
    select r.usubjid, 'first' as kind, r.rsdt as adt, 'responses' as srcdom, 'rsdt' as srcvar, r.centre, r.source_file, r.source_row
    from harmonised.responses r
    join assessed.subject_dates d using (usubjid)
    where r.overall_response = 'PD' and r.rsdt >= d.trtsdt
    union all
    select r.usubjid, case r.progression_no when 1 then 'first' else 'second' end, r.pddt, 'progressions_reported', 'pddt', r.centre, r.source_file, r.source_row
    from harmonised.progressions_reported r
    semi join assessed.subject_dates using (usubjid)
    where r.pddt is not null
    union all
    -- the oncology centre's later responses still count from before radiotherapy: they say nothing about a second progression
    select r.usubjid, 'second', r.rsdt, 'restagings', 'rsdt', r.centre, r.source_file, r.source_row
    from harmonised.restagings r
    join assessed.oligo_courses o using (usubjid)
    where r.response = 'PD' and r.rsdt > o.rtstdt
),
earliest as (
    select
        usubjid, kind,
        min(struct_pack(adt := adt, dom := srcdom, var := srcvar, centre := centre, file := source_file, place := source_row)) as first
    from reported
    group by usubjid, kind
),
named as (
    select usubjid, first, unnest(['reported_first_progression', 'reported_irradiated_progression']) as date_name
    from earliest where kind = 'first'
    union all
    select usubjid, first, 'reported_second_progression' from earliest where kind = 'second'
)
select
    n.usubjid, n.date_name, n.first.adt as adt, n.first.dom as srcdom, n.first.var as srcvar,
    printf('%s %s:%s', n.first.centre, n.first.file, n.first.place) as srcseq
from named n
join assessed.subject_dates d using (usubjid)
where n.date_name <> 'reported_irradiated_progression' or coalesce(d.rtendt, d.rtstdt) >= n.first.adt
