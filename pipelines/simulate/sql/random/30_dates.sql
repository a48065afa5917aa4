-- one row per: patient of a random cohort, with everything after oligo-progression
with site as (
    select
        patient, count(*) filter (treated = 1) as n_treated_sites, max(fractions) as most_fractions,
        coalesce(bool_or(response = 'PD'), false) as pd, coalesce(bool_or(response <> 'NE'), false) as assessed,
        coalesce(max_by(response, instr('CRPRSDPD', response)) filter (response <> 'NE'), 'NE') as srt_response,
        max(new_lesion) as new_lesion
    from world.lesions group by patient
),
irradiated as (
    select
        p.*, s.* exclude (patient), r.* exclude (sites),
        world.working_day(rt_start, most_fractions) as rt_end,
        case when s.pd then 'restaging' else world.weighted(second_kinds, second_bounds, world.draw(p.patient, 'second')) end as kind,
        pr.restaging_days
    from world.plan p join site s using (patient) cross join world.random r cross join world.protocol pr
),
restaged as (
    select
        *, world.weekday(rt_end + restaging_days + world.steps(patient, 'restaging', restaging_spread_days)) as restaging
    from irradiated
),
progressed as (
    select
        *,
        case kind
            when 'restaging' then restaging
            when 'early' then rt_end + early_second_min_days + world.steps(patient, 'second date', early_second_spread_days)
            when 'late' then restaging + least(
                second_max_days, second_min_days - floor(second_mean_days * ln(1 - world.draw(patient, 'second date'))))::integer
        end as second_progression,
        case
            when kind = 'restaging'
                then case when world.draw(patient, 'second pattern') < both_at_restaging_share then 'both' else 'local' end
            when kind = 'early' or (kind = 'late' and not assessed) then 'distant'
            when kind = 'late' then world.weighted(second_patterns, pattern_bounds, world.draw(patient, 'second pattern'))
        end as second_pattern
    from restaged
)
select
    *,
    case when kind = 'censored' or world.draw(patient, 'followup') < known_followup_share
        then greatest(second_progression, restaging) + followup_min_days + world.steps(patient, 'followup days', followup_spread_days)
        end as last_followup,
    kind <> 'early' and world.draw(patient, 'interrupted') < interrupted_share as interrupted
from progressed
