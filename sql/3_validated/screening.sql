-- one row per: linked subject
-- unit: year; lesions and fractions are counts
-- why: every fact that eligibility is decided from, side by side, so that each criterion reads one row
-- source: PROTOCOL, Eligibility and Oligo-progression
with declared as (
    select
        usubjid,
        max(ieorres) filter (ietestcd = 'histology_confirmed') as histology_confirmed,
        max(ieorres) filter (ietestcd = 'first_line') as first_line,
        max(ieorres) filter (ietestcd = 'adequate_function') as adequate_function,
        max(ieorres) filter (ietestcd = 'other_cancer') as other_cancer,
        max(ieorres) filter (ietestcd = 'prior_therapy') as prior_therapy,
        max(ieorres) filter (ietestcd = 'prior_immunotherapy') as prior_immunotherapy,
        max(ieorres) filter (ietestcd = 'uncontrolled_brain') as uncontrolled_brain,
        max(ieorres) filter (ietestcd = 'malignant_effusion') as malignant_effusion,
        max(ieorres) filter (ietestcd = 'short_life_expectancy') as short_life_expectancy,
        max(ieorres) filter (ietestcd = 'prior_rt_target') as prior_rt_target,
        max(ieorres) filter (ietestcd = 'uncontrolled_illness') as uncontrolled_illness
    from harmonised.criteria
    group by usubjid
),
treating_course as (
    -- one course may treat two progressing lesions; its fractions count once
    select distinct t.usubjid, t.centre, t.course_id
    from assessed.lesion_progressions g
    join assessed.irradiated_lesions i using (usubjid, lesion_id)
    join harmonised.targets t on t.usubjid = i.usubjid and t.centre = i.rtsiteid and t.target_id = i.target_id
),
treated as (
    select usubjid, sum(d.n_fractions) as n_fractions
    from treating_course
    join assessed.delivered_courses d using (usubjid, centre, course_id)
    left join assessed.progressions g using (usubjid)
    -- what was over before the progression did not treat it
    where coalesce(d.rtendt >= g.oligodt, true)
    group by usubjid
),
not_counted as (
    -- none known is not none given: a progressing lesion was a target, but with how many fractions nobody says
    select distinct g.usubjid
    from assessed.lesion_progressions g
    join harmonised.lesion_links k using (usubjid, lesion_id)
    join harmonised.targets t on t.usubjid = k.usubjid and t.centre = k.centre and t.target_id = k.target_id
    left join assessed.delivered_courses d on d.usubjid = t.usubjid and d.centre = t.centre and d.course_id = t.course_id
    where d.n_fractions is null
),
brain as (
    select g.usubjid, max(case when g.anatomic_site = 'brain' then 'Y' else 'N' end) as brain_progressing_fl
    from assessed.lesion_progressions g
    group by g.usubjid
)
select
    d.usubjid, s.centre, s.rtsiteid, s.age_years, s.ecog, s.histology, d.trtsdt, d.trtedt,
    p.oligodt, p.n_progressing, p.n_new, o.rtstdt,
    case when u.usubjid is null or t.n_fractions > 0 then coalesce(t.n_fractions, 0) end as n_fractions_to_progressing,
    coalesce(b.brain_progressing_fl, 'N') as brain_progressing_fl,
    c.histology_confirmed, c.first_line, c.adequate_function, c.other_cancer, c.prior_therapy, c.prior_immunotherapy,
    c.uncontrolled_brain, c.malignant_effusion, c.short_life_expectancy, c.prior_rt_target, c.uncontrolled_illness,
    s.link_state, s.delivery_id, s.source_file, s.source_row
from assessed.subject_dates d
join harmonised.subjects s using (usubjid)
left join assessed.progressions p using (usubjid)
-- the study's period is that of the radiotherapy that treated the oligo-progression
left join assessed.oligo_courses o using (usubjid)
left join treated t using (usubjid)
left join not_counted u using (usubjid)
left join brain b using (usubjid)
left join declared c using (usubjid)
