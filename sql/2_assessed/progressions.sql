-- one row per: linked subject
-- unit: day
-- why: first progression from the first line, second from the irradiated lesions and from all others, each with its source record
-- source: PROTOCOL, Oligo-progression and Second progression
with oligo as (
    select
        t.usubjid, arg_min(t.adt, t.adt) as oligodt,
        arg_min(printf('%s; %s; %s; %s', t.overall_reason, t.target_reason, t.nontarget_reason, t.new_lesion_reason), t.adt) as oligo_reason,
        arg_min(t.visitnum, t.adt) as visitnum
    from assessed.timepoint_responses t
    where t.series = 'first_line' and t.overall_response = 'PD'
    group by t.usubjid
),
lesions as (
    select
        g.usubjid, count(*) filter (g.new_lesion_fl = 'N') as n_progressing, count(*) filter (g.new_lesion_fl = 'Y') as n_new,
        count(i.lesion_id) as n_treated
    from assessed.lesion_progressions g
    left join assessed.irradiated_lesions i using (usubjid, lesion_id)
    group by g.usubjid
),
component as (
    select
        usubjid, adt, visitnum, lesion_id, lesion_id || ' (' || anatomic_site || '): ' || reason as reason,
        case
            when field_relation in ('marginal', 'out') then 'distant'
            when field_relation = 'in_field' then 'local'
            else 'unknown'
        end as kind
    from assessed.infield_responses where response = 'PD'
    union all
    select usubjid, adt, visitnum, null, printf('%s; %s; %s; %s', overall_reason, target_reason, nontarget_reason, new_lesion_reason), 'distant'
    from assessed.timepoint_responses where series = 'after_rt' and overall_response = 'PD'
),
second as (
    select
        usubjid, min(adt) as seconddt,
        min(adt) filter (kind = 'local') as local_dt,
        min(adt) filter (kind = 'distant') as distant_dt,
        min(adt) filter (kind = 'unknown') as unknown_dt,
        arg_min(visitnum, adt) as visitnum
    from component group by usubjid
),
second_reason as (
    select c.usubjid, string_agg(c.kind || ': ' || c.reason, '; ' order by c.kind, c.lesion_id) as reason
    from component c
    join second s on s.usubjid = c.usubjid and s.seconddt = c.adt
    group by c.usubjid
),
new_lesion as (
    select n.usubjid, min(n.adt) as adt from assessed.new_lesions n
    where n.series = 'after_rt' and n.status = 'UNEQUIVOCAL'
    group by n.usubjid
),
record as (
    -- the first measurement row of a visit stands for it
    select usubjid, visitnum, min(struct_pack(f := source_file, r := source_row, c := centre)) as source
    from assessed.adtr where source_row is not null
    group by usubjid, visitnum
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
    d.usubjid, o.oligodt,
    case when l.n_new > 0 then 'new' when o.oligodt is not null then 'pre_existing' end as oligo_pattern,
    coalesce(l.n_progressing, 0) as n_progressing, coalesce(l.n_new, 0) as n_new,
    coalesce(l.n_treated, 0) as n_treated_progressing, o.oligo_reason,
    oligo_record.source.c as oligo_centre, oligo_record.source.f as oligo_source_file, oligo_record.source.r as oligo_source_row,
    s.seconddt,
    case
        -- whether an unknown recurrence lies in the field is a question to the radiotherapy centre
        when s.unknown_dt <= s.seconddt + p.same_restaging_days then null
        when abs(s.local_dt - s.distant_dt) <= p.same_restaging_days then 'both'
        when s.local_dt = s.seconddt then 'local'
        when s.distant_dt = s.seconddt then 'distant'
    end as second_pattern,
    s.local_dt, s.distant_dt,
    case when s.seconddt is not null then
        case when n.adt <= s.seconddt + p.same_restaging_days then 'Y' else 'N' end end as new_lesion_fl,
    e.reason as second_reason,
    second_record.source.c as second_centre, second_record.source.f as second_source_file, second_record.source.r as second_source_row,
    a.adt as last_assessed_dt
from assessed.subject_dates d
left join oligo o using (usubjid)
left join lesions l using (usubjid)
left join second s using (usubjid)
left join second_reason e using (usubjid)
left join new_lesion n using (usubjid)
left join adequate a using (usubjid)
left join record oligo_record on oligo_record.usubjid = d.usubjid and oligo_record.visitnum = o.visitnum
left join record second_record on second_record.usubjid = d.usubjid and second_record.visitnum = s.visitnum
cross join study.protocol p
