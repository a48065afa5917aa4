-- one row per: linked subject with a progression after the first fraction
-- unit: day
-- why: the earliest progression of an irradiated lesion or of all others; local, distant, or both within one restaging
-- source: PROTOCOL, Second progression
with first_row as (
    -- the first measurement row of a visit stands for it
    select usubjid, visitnum, min(struct_pack(centre := centre, file := source_file, place := source_row)) as source
    from assessed.adtr where source_row is not null
    group by usubjid, visitnum
),
found as (
    select
        usubjid, adt, lesion_id, lesion_id || ' (' || anatomic_site || '): ' || reason as reason,
        -- marginal counts as distant by the paper's definition
        case field_relation when 'marginal' then 'distant' when 'out' then 'distant' when 'in_field' then 'local' else 'unknown' end as kind,
        struct_pack(centre := centre, file := source_file, place := source_row) as source
    from assessed.infield_responses where response = 'PD'
    union all
    select
        t.usubjid, t.adt, null, printf('%s; %s; %s; %s', t.overall_reason, t.target_reason, t.nontarget_reason, t.new_lesion_reason),
        'distant', f.source
    from assessed.timepoint_responses t
    left join first_row f using (usubjid, visitnum)
    where t.series = 'after_rt' and t.overall_response = 'PD'
),
component as (
    -- what progressed before the first fraction to the oligo-progression, after other radiotherapy, is the first or none; that
    -- progression itself is never the second, also where a course was under way
    select f.* from found f
    left join assessed.oligo_courses o on o.usubjid = f.usubjid and o.oligo_fl = 'Y'
    where f.adt > greatest(o.rtstdt, o.oligodt) or o.rtstdt is null
),
earliest as (
    select
        usubjid, min(adt) as seconddt,
        min(adt) filter (kind = 'local') as local_dt,
        min(adt) filter (kind = 'distant') as distant_dt,
        min(adt) filter (kind = 'unknown') as unknown_dt
    from component group by usubjid
),
reasoned as (
    select
        c.usubjid, list_sort(list(struct_pack(kind := c.kind, lesion_id := c.lesion_id, said := c.kind || ': ' || c.reason))) as reasons, min(c.source) as source
    from component c
    join earliest e on e.usubjid = c.usubjid and e.seconddt = c.adt
    group by c.usubjid
),
new_lesion as (
    select n.usubjid, min(n.adt) as adt from assessed.new_lesions n
    left join assessed.oligo_courses o on o.usubjid = n.usubjid and o.oligo_fl = 'Y'
    left join assessed.irradiated_lesions i on i.usubjid = n.usubjid and i.lesion_id = n.lesion_id
    -- what was irradiated and first measured afterwards is no new disease
    where n.series = 'after_rt' and n.status = 'UNEQUIVOCAL' and coalesce(n.adt <= i.first_fraction_dt, true)
        and (n.adt > greatest(o.rtstdt, o.oligodt) or o.rtstdt is null)
    group by n.usubjid
)
select
    e.usubjid, e.seconddt,
    case
        when abs(e.local_dt - e.distant_dt) <= p.same_restaging_days
            and least(e.local_dt, e.distant_dt) <= e.seconddt + p.same_restaging_days then 'both'
        -- whether an unknown recurrence lies in the field is a question to the radiotherapy centre
        when e.unknown_dt <= e.seconddt + p.same_restaging_days then null
        when e.local_dt = e.seconddt then 'local'
        else 'distant'
    end as second_pattern,
    e.local_dt, e.distant_dt,
    case when n.adt <= e.seconddt + p.same_restaging_days then 'Y' else 'N' end as new_lesion_fl,
    array_to_string([s.said for s in r.reasons], '; ') as reason, r.source.centre as centre, r.source.file as source_file, r.source.place as source_row
from earliest e
join reasoned r using (usubjid)
left join new_lesion n using (usubjid)
cross join study.protocol p
