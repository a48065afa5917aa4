-- one row per: read, lesion and visit
-- unit: mm
-- why: size and state are records of their own in TR; where one is given twice the later holds, of one day the larger
with dated as (
    select i.read_id, i.lesion_id, i.lesion_role, i.visit, coalesce(i.dt, v.dt) as dt, i.source_row
    from raw.identified i
    left join (select read_id, visit, min(dt) as dt from raw.records where problem is null group by read_id, visit) v using (read_id, visit)
    left join (select read_id, min(visit) as visit from raw.records group by read_id) f on f.read_id = i.read_id
    -- where lesions are listed before TR begins, nothing was assessed yet: that visit is no baseline
    where i.visit is not null and (i.lesion_role = 'new' or i.visit >= f.visit or f.visit is null)
),
sighting as (
    -- a lesion that TU identifies and TR is silent about was seen all the same; a new one also where it was not measured
    select
        d.read_id, d.lesion_id, d.visit, d.dt, null::decimal(9, 3) as diameter_mm,
        case
            when d.lesion_role <> 'new' then 'present'
            -- what cannot be read may have called it doubtful
            when bool_or(t.problem is not null) then 'equivocal'
            else 'unequivocal'
        end as lesion_state, 'tu' as source_file, d.source_row
    from dated d
    left join raw.records t
        on t.read_id = d.read_id and t.lesion_id = d.lesion_id and (t.visit is not distinct from d.visit or t.dt is not distinct from d.dt)
    where d.dt is not null
    group by d.read_id, d.lesion_id, d.lesion_role, d.visit, d.dt, d.source_row
    having not coalesce(bool_or(t.read_id is not null and t.problem is null and (d.lesion_role <> 'new' or t.counted_mm is not null or t.state is not null)), false)
),
look as (
    select
        read_id, lesion_id, visit, min(dt) as dt,
        arg_max(counted_mm, struct_pack(dt := dt, mm := counted_mm)) filter (counted_mm is not null) as size_mm,
        arg_max(state, struct_pack(dt := dt, state := state)) filter (state is not null) as state,
        min(source_row) as source_row
    from raw.records
    where problem is null
    group by read_id, lesion_id, visit
),
unread as (
    -- what cannot be read takes away a size, never the visit: the lesion was not assessed there; a new one says nothing by that
    select
        t.read_id, t.lesion_id, t.visit, min(t.dt) as dt, null::decimal(9, 3) as diameter_mm, 'not_assessed' as lesion_state,
        'tr' as source_file, min(t.source_row) as source_row
    from raw.records t
    anti join look using (read_id, lesion_id, visit)
    anti join sighting using (read_id, lesion_id, visit)
    where t.problem is not null and t.lesion_role <> 'new' and t.visit is not null and t.dt is not null
    group by t.read_id, t.lesion_id, t.visit
)
select
    read_id, lesion_id, visit, dt, case when state <> 'too_small' or state is null or size_mm > 0 then size_mm end as diameter_mm,
    coalesce(state, case when size_mm is null then 'not_assessed' end) as lesion_state, 'tr' as source_file, source_row
from look
union all
from sighting
union all
from unread
