-- one row per: patient of a random cohort, up to oligo-progression
with numbered as (
    select
        printf('P%0' || greatest(2, len(n_patients::varchar))::varchar || 'd', i) as patient
    from (select getvariable('patients') as n_patients) cross join generate_series(1, n_patients) t(i)
),
drawn as (
    select
        n.patient, r.*,
        case when world.draw(patient, 'nephrectomy') < r.nephrectomy_share then 1 else 0 end as nephrectomy,
        world.weighted(r.responses, r.response_bounds, world.draw(patient, 'response')) as best_response_l1,
        p.window_start, p.window_end
    from numbered n cross join world.random r cross join world.protocol p
),
dated as (
    select
        *,
        case when best_response_l1 = 'PD' then pd_min_days + world.steps(patient, 'pfs1', pd_spread_days)
            else least(later_max_days, later_min_days - floor(later_mean_days * ln(1 - world.draw(patient, 'pfs1')))) end::integer
            as pfs1_days,
        window_start + world.steps(patient, 'oligo', window_end - window_start - 2 * referral_spread_days) as oligo_progression,
        list_concat(
            case when nephrectomy = 0 then ['kidney']
                when world.draw(patient, 'recurrence') < recurrence_share then ['local_recurrence'] else [] end,
            list_filter(sites, lambda x: world.draw(patient, 'has ' || x) < site_shares[list_position(sites, x)])
        ) as drawn_sites
    from drawn
),
sited as (
    select
        * exclude (drawn_sites), case when len(drawn_sites) = 0 then ['lung'] else drawn_sites end as baseline,
        world.weighted(n_site_choices, n_site_bounds, world.draw(patient, 'n sites')) as n_wanted
    from dated
),
counted as (
    select
        *,
        case when world.draw(patient, 'new') >= new_share then 0
            when n_wanted > 1 and world.draw(patient, 'two new') < two_new_share then 2 else 1 end as n_new
    from sited
)
select
    patient,
    world.weighted(onc_units, onc_bounds, world.draw(patient, 'onc unit')) as onc_unit,
    world.weighted(rt_units, rt_bounds, world.draw(patient, 'rt unit')) as rt_unit,
    youngest_years + (world.steps(patient, 'age', age_spread_years) + world.steps(patient, 'age again', age_spread_years)) // 2 as age,
    world.weighted(sexes, sex_bounds, world.draw(patient, 'sex')) as sex,
    world.weighted(histologies, histology_bounds, world.draw(patient, 'histology')) as histology,
    (world.draw(patient, 'ecog') >= ecog0_share)::integer as ecog,
    nephrectomy, (world.draw(patient, 'metastasectomy') < metastasectomy_share)::integer as metastasectomy_lung,
    baseline, best_response_l1, pfs1_days, oligo_progression, oligo_progression - pfs1_days as pazopanib_start,
    world.weekday(oligo_progression + referral_min_days + world.steps(patient, 'referral', referral_spread_days)) as rt_start,
    world.weighted(techniques, technique_bounds, world.draw(patient, 'technique')) as technique,
    n_new, world.shuffled(patient, 'old ', baseline)[:n_wanted - n_new] as old_sites
from counted
