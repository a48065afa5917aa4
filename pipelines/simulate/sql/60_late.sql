-- one row per: patient, lesion and scan from oligo-progression on
-- unit: mm (NULL: not measured)
with visit as (
    select
        d.*, z.* exclude (patient, lesion_id), v.visitnum, v.trdt, s.noise_mm, p.best_response_l1 as best,
        v.trdt = p.oligo_progression as at_oligo,
        v.trdt = p.restaging as at_restaging,
        v.trdt >= p.restaging as restaged,
        v.trdt = p.second_progression as at_second
    from world.disease d
    join world.sizes z using (patient, lesion_id)
    join world.patients p using (patient)
    join world.scans v using (patient)
    cross join world.story s
    where v.trdt >= case when d.seen = 'second' then p.second_progression else p.oligo_progression end
),
sized as (
    select
        *,
        case
            when seen = 'second' then second_mm
            when at_second and relapses then second_mm
            when irradiated and restaged then restaging_mm
            else oligo_mm
        end as level_mm,
        -- exact where a response is decided on this very lesion
        coalesce(
            (at_oligo and progressing) or (at_restaging and irradiated) or (at_second and (relapses or seen = 'second')), false
        ) as exact
    from visit
),
stated as (
    select
        *,
        case
            when (at_oligo and seen = 'oligo') or (at_second and seen = 'second') then 'unequivocal'
            when level_mm = 0 then 'absent'
            when is_measurable then 'present'
            when at_oligo and progressing then 'unequivocal_progression'
            when at_second and relapses then 'unequivocal_progression'
            when seen = 'baseline' and not progressing and best = 'CR' then 'absent'
            when not (irradiated and restaged) then 'present'
            when at_restaging and response = 'NE' then 'not_assessed'
            when response = 'PD' then 'unequivocal_progression'
            when finding = 'disappeared' then 'absent'
            else 'present'
        end as lesion_state
    from sized
)
select
    patient, lesion_id, visitnum, trdt, lesion_state,
    case when exact then level_mm else world.noisy(level_mm, noise_mm, patient || lesion_id, trdt) end as diameter_mm,
    case when not is_measurable and lesion_state = 'absent' and irradiated then restaging_method else method end as method
from stated
