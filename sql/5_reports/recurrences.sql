-- one row per: relation of a recurrence to the irradiated volume, and pattern of the second progression
-- unit: lesion, patient
-- why: marginal counts as distant and is seen as marginal; what is not placed is asked and never outside; new lesions stand apart
-- source: PROTOCOL, In-field; Paper, Staging and Results (the results count new sites only)
with eligible as (
    select usubjid, seconddt, coalesce(second_pattern, 'unplaced') as pattern, new_lesion_fl from derived.adsl where eligible_fl = 'Y'
),
recurrence as (
    select i.usubjid, i.lesion_id, e.new_lesion_fl, coalesce(i.field_relation, 'unknown') as field_relation
    from assessed.infield_responses i
    join eligible e using (usubjid)
    where i.response = 'PD' or i.finding = 'progressed' or i.field_relation is not null
)
select
    'field_relation' as grouping, f.code as group_key, any_value(f.label) as label, any_value(f.counted_as) as counted_as,
    count(distinct struct_pack(usubjid := r.usubjid, lesion_id := r.lesion_id)) filter (r.usubjid is not null) as n_lesions,
    count(distinct r.usubjid) as n_patients,
    count(distinct r.usubjid) filter (r.new_lesion_fl = 'Y') as n_with_new_lesion
from study.field_relation f
left join recurrence r on r.field_relation = f.code
group by f.code
union all
select
    'second_progression', e.pattern as group_key, coalesce(any_value(p.label), 'Not placed yet by the radiotherapy centre') as label, e.pattern as counted_as, null, count(*),
    count(*) filter (e.new_lesion_fl = 'Y')
from eligible e
left join study.pattern p on p.code = e.pattern
where e.seconddt is not null
group by e.pattern
