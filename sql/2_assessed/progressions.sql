-- one row per: linked subject
-- why: first progression from the first line, second after radiotherapy, each with its source record
-- source: PROTOCOL, Oligo-progression and Second progression
with first_pd as (
    select
        t.usubjid, t.adt as oligodt, t.visitnum,
        printf('%s; %s; %s; %s', t.overall_reason, t.target_reason, t.nontarget_reason, t.new_lesion_reason) as reason
    from assessed.timepoint_responses t
    where t.series = 'first_line' and t.overall_response = 'PD'
    qualify row_number() over (partition by t.usubjid order by t.adt, t.visitnum) = 1
),
first_row as (
    -- the first measurement row of that visit stands for it
    select a.usubjid, min(struct_pack(centre := a.centre, file := a.source_file, place := a.source_row)) as source
    from assessed.adtr a
    join first_pd f using (usubjid, visitnum)
    where a.source_row is not null
    group by a.usubjid
),
lesions as (
    select
        g.usubjid, count(*) filter (g.new_lesion_fl = 'N') as n_progressing, count(*) filter (g.new_lesion_fl = 'Y') as n_new,
        count(i.lesion_id) as n_treated
    from assessed.lesion_progressions g
    left join assessed.irradiated_lesions i using (usubjid, lesion_id)
    group by g.usubjid
),
adequate as (
    select usubjid, max(adt) as adt from (
        select usubjid, adt from assessed.timepoint_responses where overall_response <> 'NE'
        union all
        select usubjid, adt from assessed.infield_responses where response <> 'NE'
        union all
        select usubjid, adt from assessed.visits where baseline_fl = 'Y'
    ) group by usubjid
)
select
    d.usubjid, f.oligodt,
    case when l.n_new > 0 then 'new' when f.oligodt is not null then 'pre_existing' end as oligo_pattern,
    coalesce(l.n_progressing, 0) as n_progressing,
    coalesce(l.n_new, 0) as n_new,
    coalesce(l.n_treated, 0) as n_treated_progressing,
    f.reason as oligo_reason, r.source.centre as oligo_centre, r.source.file as oligo_source_file, r.source.place as oligo_source_row,
    s.seconddt, s.second_pattern, s.local_dt, s.distant_dt, s.new_lesion_fl, s.reason as second_reason, s.centre as second_centre,
    s.source_file as second_source_file, s.source_row as second_source_row,
    a.adt as last_assessed_dt
from assessed.subject_dates d
left join first_pd f using (usubjid)
left join first_row r using (usubjid)
left join lesions l using (usubjid)
left join assessed.second_progressions s using (usubjid)
left join adequate a using (usubjid)
