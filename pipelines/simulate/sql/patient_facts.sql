-- one row per: row of the cohort, with what its feasibility depends on
with site as (
    select
        patient, count(*) as n_sites,
        count(*) filter (new_lesion = 1) as n_new,
        count(*) filter (treated = 1) as n_treated,
        count(*) filter (treated = 1 and response = 'PD') as n_pd,
        count(*) filter (treated = 1 and response <> 'NE') as n_assessed,
        max(fractions) filter (treated = 1) as most_fractions,
        coalesce(max_by(response, instr('CRPRSDPD', response)) filter (treated = 1 and response <> 'NE'), 'NE') as worst_response,
        list(site) filter (treated = 1) as treated_sites,
        list(site) filter (new_lesion = 0 and measurable = 0) as unmeasured
    from world.deposits group by patient
),
code as (
    select list(code) as anatomic_sites from world.codes where list = 'anatomic_site'
),
split as (
    select *, string_split(baseline_sites, '|') as baseline from world.cohort
)
select
    c.* exclude (baseline), s.* exclude (patient), r.first_scan_days, r.scan_gap_days, r.interruption_lag_days,
    p.max_progressing_lesions, p.max_new_lesions, p.max_grade, p.min_age_years, p.max_ecog, p.window_start, p.window_end,
    count(*) over (partition by c.patient) as copies,
    c.onc_unit in (select unit from world.units) and c.rt_unit in (select unit from world.units) as known_units,
    list_has_all(k.anatomic_sites, baseline) and len(baseline) = len(list_distinct(baseline)) as known_sites,
    len(list_filter(baseline, lambda x: not coalesce(list_contains(s.unmeasured, x), false))) as n_measurable,
    len(list_filter(r.distant_sites, lambda x: not coalesce(list_contains(s.treated_sites, x), false))) as n_free_sites,
    len(world.working_days(c.rt_start, c.rt_end)) as n_working_days,
    greatest(c.tox_hypertension, c.tox_thyroid, c.tox_diarrhea, c.tox_fatigue, c.tox_anemia, c.tox_liver, c.tox_mucositis,
        c.tox_pneumonitis, c.tox_esophagitis) as worst_grade,
    least(c.tox_hypertension, c.tox_thyroid, c.tox_diarrhea, c.tox_fatigue, c.tox_anemia, c.tox_liver, c.tox_mucositis,
        c.tox_pneumonitis, c.tox_esophagitis) as least_grade
from split c
left join site s using (patient)
cross join code k
cross join world.story r
cross join world.protocol p
