-- one row per: patient, term and onset
-- why: the worst grade of each toxicity group after the first fraction is the cohort's; some patients also have an
--      event that ended before radiotherapy and must not count
with window_of as (
    select p.*, greatest(rt_start, least(coalesce(second_progression, last_visit) - 1, rt_start + s.onset_spread_days)) as last_onset,
        s.event_min_days, s.event_spread_days, s.early_event_share, s.hypothyroidism_share, s.alt_share,
        pazopanib_start + s.early_event_from_days as early_onset, pazopanib_start + s.early_event_to_days as early_end
    from world.patients p cross join world.story s
),
grade as (
    select *, unnest([
        {term: 'Hypertension', reason: null, grade: tox_hypertension, by_rt: false},
        {term: case when world.draw(patient, 'thyroid') < hypothyroidism_share then 'Hypothyroidism' else 'Hyperthyroidism' end,
            reason: null, grade: tox_thyroid, by_rt: false},
        {term: 'Diarrhea', reason: 'diarrhea', grade: tox_diarrhea, by_rt: false},
        {term: 'Fatigue', reason: null, grade: tox_fatigue, by_rt: false},
        {term: 'Anemia', reason: null, grade: tox_anemia, by_rt: false},
        {term: case when world.draw(patient, 'liver') < alt_share then 'Alanine aminotransferase increased'
            else 'Aspartate aminotransferase increased' end, reason: 'liver', grade: tox_liver, by_rt: false},
        {term: 'Mucositis oral', reason: null, grade: tox_mucositis, by_rt: false},
        {term: 'Pneumonitis', reason: 'pneumonitis', grade: tox_pneumonitis, by_rt: true},
        {term: 'Esophagitis', reason: null, grade: tox_esophagitis, by_rt: true}
    ]) as tox
    from window_of
),
onset as (
    -- the event that interrupts pazopanib begins with the interruption
    select
        patient, tox.term as term, tox.grade as grade, tox.by_rt as by_rt, last_visit, event_min_days, event_spread_days,
        case when tox.reason = interruption_reason and pazopanib_interrupted_days > 0 then stop_dt
            else rt_start + world.steps(patient, tox.term || ' onset', last_onset - rt_start) end as aestdt
    from grade
    where tox.grade > 0
),
event as (
    -- what radiotherapy caused has healed by the last visit (paper, Safety)
    select
        patient, term, grade, by_rt, last_visit, aestdt,
        least(aestdt + event_min_days + world.steps(patient, term || ' length', event_spread_days), if(by_rt, last_visit, null)) as ends
    from onset
    union all
    select patient, 'Nausea', 1, false, last_visit, early_onset, early_end
    from window_of where world.draw(patient, 'early event') < early_event_share and early_end < oligo_progression
    union all
    select patient, 'Fatigue', 2, false, last_visit, early_onset, early_end
    from window_of where world.draw(patient, 'early event') > 1 - early_event_share and early_end < oligo_progression
)
select
    case when e.by_rt then p.rt_centre else p.onc_centre end as centre,
    case when e.by_rt then p.rt_no else p.onc_no end as subject_no,
    p.usubjid, e.term as aedecod, e.grade as aetoxgr, e.grade::varchar as aetoxgr_txt, e.aestdt,
    case when e.ends <= e.last_visit then e.ends end as aeendt,
    case when e.by_rt then 'radiotherapy' else 'drug' end as aerel,
    case when e.ends <= e.last_visit then 'recovered' else 'not_recovered' end as aeout
from event e join world.patients p using (patient)
