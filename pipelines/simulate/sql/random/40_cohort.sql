-- one row per: patient of a random cohort, in the columns of the reference study and the optional ones
-- why: the event that interrupts pazopanib is a severe one
with drug as (
    select
        *, case when interrupted then world.pick(interruption_reasons, world.draw(patient, 'reason')) end as interruption_reason
    from world.dates
)
select
    patient, onc_unit, rt_unit, age, sex, histology, ecog, nephrectomy, metastasectomy_lung,
    array_to_string(baseline, '|') as baseline_sites, best_response_l1, pazopanib_start, oligo_progression, second_progression,
    pfs1_days, second_progression - oligo_progression as pfs2_days, second_progression - pazopanib_start as total_days,
    case when new_lesion = 1 then 'new' else 'pre_existing' end as oligo_pattern, n_treated_sites, second_pattern, srt_response,
    technique, rt_start, rt_end, restaging,
    case when interrupted then interruption_min_days + world.steps(patient, 'off', interruption_spread_days) else 0 end
        as pazopanib_interrupted_days,
    interruption_reason,
    case when interrupted and world.draw(patient, 'reduced') < reduced_share then 0 else 1 end as dose_same_after_rt,
    world.severity(patient, 'hypertension', interruption_reason, grades, grade_bounds) as tox_hypertension,
    world.severity(patient, 'thyroid', interruption_reason, grades, grade_bounds) as tox_thyroid,
    world.severity(patient, 'diarrhea', interruption_reason, grades, grade_bounds) as tox_diarrhea,
    world.severity(patient, 'fatigue', interruption_reason, grades, grade_bounds) as tox_fatigue,
    world.severity(patient, 'anemia', interruption_reason, grades, grade_bounds) as tox_anemia,
    world.severity(patient, 'liver', interruption_reason, grades, grade_bounds) as tox_liver,
    world.severity(patient, 'mucositis', interruption_reason, grades, grade_bounds) as tox_mucositis,
    world.severity(patient, 'pneumonitis', interruption_reason, grades, grade_bounds) as tox_pneumonitis,
    world.severity(patient, 'esophagitis', interruption_reason, grades, grade_bounds) as tox_esophagitis,
    case when world.draw(patient, 'eligible') < ineligible_share then 'N' else 'Y' end as eligible,
    last_followup,
    case when world.draw(patient, 'death') < death_share
        then last_followup + world.steps(patient, 'death days', followup_min_days) end as death_date
from drug
