-- one row per: label that names other lesions of the subject, and lesion that it names
-- why: L1.1 and L1.2 are the parts of L1, which has split; L1/L2 is the whole that L1 and L2 have become
-- source: RECIST 1.1, 4.3.2 (lesions that split or coalesce); PROTOCOL, Sum
with compound as (
    select l.usubjid, l.lesion_id as part_id, p.part_separator, p.merged_separator
    from harmonised.lesions l
    cross join study.protocol p
    where contains(l.lesion_id, p.part_separator) or contains(l.lesion_id, p.merged_separator)
),
part as (
    -- a part of a part belongs to the lesion that split first
    select c.usubjid, c.part_id, l.lesion_id
    from compound c
    join harmonised.lesions l on l.usubjid = c.usubjid and starts_with(c.part_id, l.lesion_id || c.part_separator)
    where not contains(c.part_id, c.merged_separator)
    qualify row_number() over (partition by c.usubjid, c.part_id order by length(l.lesion_id)) = 1
),
member as (
    select usubjid, part_id, unnest(string_split(part_id, merged_separator)) as named from compound
    where contains(part_id, merged_separator)
),
whole as (
    select m.usubjid, m.part_id, l.lesion_id, min(l.lesion_role <> 'target') as is_no_target
    from member m
    left join part p on p.usubjid = m.usubjid and p.part_id = m.named
    join harmonised.lesions l on l.usubjid = m.usubjid and l.lesion_id = coalesce(p.lesion_id, m.named)
    group by m.usubjid, m.part_id, l.lesion_id
)
select usubjid, part_id, lesion_id, 'part' as kind, 'Y' as carries_fl from part
union all
-- the whole is counted once, for a target where it holds one
select
    usubjid, part_id, lesion_id, 'whole',
    case row_number() over (partition by usubjid, part_id order by is_no_target, lesion_id) when 1 then 'Y' else 'N' end
from whole
