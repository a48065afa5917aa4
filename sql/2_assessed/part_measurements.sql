-- one row per: lesion and assessment at which its parts, or the whole that it has merged into, were measured
-- unit: mm; long axis, short axis for nodes
-- why: a lesion stays the same lesion when it splits or merges: its parts are added, the whole counts once
-- source: RECIST 1.1, 4.3.2; PROTOCOL, Sum (split: add the parts; merged: the long axis of the whole)
with look as (
    select
        k.lesion_id as whole_id, k.kind, k.carries_fl, m.* replace (coalesce(d.as_visitnum, m.visitnum) as visitnum),
        case when m.lesion_state = 'too_small' and m.diameter_mm is null then p.too_small_mm
            when m.lesion_state = 'absent' then 0 else m.diameter_mm end as part_mm
    from assessed.lesion_parts k
    join harmonised.measurements m on m.usubjid = k.usubjid and m.lesion_id = k.part_id
    left join assessed.visit_days d on d.usubjid = m.usubjid and d.visitnum = m.visitnum
    cross join study.protocol p
    where m.visitnum is not null and m.trdt is not null
    qualify row_number() over (
        partition by m.usubjid, k.lesion_id, k.part_id, coalesce(d.as_visitnum, m.visitnum) order by m.trdt desc, m.source_row
    ) = 1
),
added as (
    select
        usubjid, whole_id, kind, visitnum, min(trdt) as trdt, count(*) as n_parts, any_value(carries_fl) as carries_fl,
        case when count(part_mm) = count(*) then sum(part_mm) end as diameter_mm,
        bool_or(lesion_state = 'unequivocal_progression') as is_progressing,
        bool_or(part_mm > 0 or lesion_state not in ('absent', 'not_assessed')) as is_seen,
        any_value(slice_mm) as slice_mm, any_value(method) as method,
        min(struct_pack(c := centre, d := delivery_id, f := source_file, r := source_row)) as source
    from look
    group by usubjid, whole_id, kind, visitnum
),
complete as (
    -- a part that was there before and was not looked at now leaves the lesion unmeasured
    select
        *, kind = 'whole' or n_parts >= coalesce(max(n_parts) over (
            partition by usubjid, whole_id, kind order by trdt, visitnum rows between unbounded preceding and 1 preceding
        ), 0) as is_complete
    from added
    -- grown together again: the whole
    qualify row_number() over (partition by usubjid, whole_id, visitnum order by kind desc) = 1
)
select
    usubjid, whole_id as lesion_id, visitnum, trdt,
    case when is_complete then diameter_mm end as diameter_mm,
    case
        when is_progressing then 'unequivocal_progression'
        when is_complete and diameter_mm > 0 and carries_fl = 'N' then 'merged'
        when is_complete and diameter_mm > 0 then 'present'
        when is_complete and diameter_mm = 0 then 'absent'
        when is_seen then 'present'
        else 'not_assessed'
    end as lesion_state,
    slice_mm, method, source.c as centre, source.d as delivery_id, source.f as source_file, source.r as source_row
from complete
