-- one row per: patient, irradiated target and assessment by the radiotherapy centre
-- why: the marked restaging of every target; at another second progression its recurrence, inside or outside the field
with target as (
    select
        p.rt_centre, p.rt_no, p.usubjid, p.restaging, p.second_progression, p.second_pattern, d.target_no, d.response,
        d.finding, d.restaging_method, d.method as scan_method, d.relapses, pr.infield_isodose_pct,
        row_number() over (partition by d.patient order by d.is_measurable desc, d.target_no) as target_rank
    from world.disease d join world.patients p using (patient) cross join world.protocol pr
    where d.irradiated
),
assessed as (
    select
        *, restaging as rsdt, 'Y' as restaging_fl, response as said, finding as seen_as, restaging_method as seen_by,
        case when response = 'PD' then 'in_field' end as field_relation
    from target
    union all
    select
        *, second_progression, 'N', case when relapses then 'PD' end, 'progressed', scan_method,
        case when relapses then 'in_field' else 'out' end
    from target
    where second_progression <> restaging and (relapses or (second_pattern = 'distant' and target_rank = 1))
)
select
    rt_centre as centre, rt_no as subject_no, usubjid, 'T' || target_no as target_id, rsdt, restaging_fl, said as response,
    seen_as as finding, seen_by as method, field_relation,
    case when field_relation is not null then infield_isodose_pct end as isodose_pct
from assessed
