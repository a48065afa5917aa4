-- one row per: read, lesion and visit
-- unit: mm
-- why: size and state are records of their own in TR; where one is given twice the later holds, of one day the larger
with sighting as (
    -- a lesion that TU identifies and TR is silent about was seen all the same
    select
        l.read_id, l.lesion_id, l.visit, coalesce(l.dt, v.dt) as dt, null::decimal(9, 3) as diameter_mm,
        case l.lesion_role when 'new' then 'unequivocal' else 'present' end as lesion_state, 'tu' as source_file, l.source_row
    from raw.lesions l
    left join (select read_id, visit, min(dt) as dt from raw.records where problem is null group by read_id, visit) v using (read_id, visit)
    anti join raw.records t on t.read_id = l.read_id and t.lesion_id = l.lesion_id and t.visit = l.visit
    where l.visit is not null
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
)
select
    read_id, lesion_id, visit, dt, case when state <> 'too_small' or state is null or size_mm > 0 then size_mm end as diameter_mm,
    coalesce(state, case when size_mm is null then 'not_assessed' end) as lesion_state, 'tr' as source_file, source_row
from look
union all
select * from sighting where dt is not null
