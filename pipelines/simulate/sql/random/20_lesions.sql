-- one row per: patient and oligo-progressing anatomic site of a random cohort
-- unit: Gy
with site as (
    select *, unnest(old_sites) as site, 0 as new_lesion from world.plan
    union all
    -- only bone holds a new lesion beside one that was there before
    select *, unnest(world.shuffled(patient, 'new ', list_filter(
        (select new_sites from world.random),
        lambda x: not list_contains(old_sites, x) and (x = 'bone' or not list_contains(baseline, x))
    ))[:n_new]), 1 from world.plan
),
ranked as (
    select
        s.*, r.* exclude (new_sites, sites),
        -- skin last: the first site is always treated
        row_number() over (partition by patient order by site = 'skin', new_lesion desc, site) as site_no,
        case when site <> 'bone' or world.draw(patient, 'measurable') < bone_measurable_share
            -- a response on drug needs a lesion to be seen on
            or (baseline = ['bone'] and new_lesion = 0 and best_response_l1 <> 'PD') then 1 else 0 end as measurable
    from site s cross join world.random r
),
treated as (
    select
        *,
        (site_no = 1 or (site <> 'skin' and world.draw(patient, 'treated ' || site) >= untreated_share))::integer as treated,
        case when measurable = 1 then world.weighted(site_responses, site_response_bounds, world.draw(patient, 'response ' || site))
            else world.weighted(bone_responses, bone_response_bounds, world.draw(patient, 'response ' || site)) end as response,
        technique in ('body_srt', 'robotic_srt') as stereotactic
    from ranked
),
scheduled as (
    select
        *,
        1 + floor(world.draw(patient, 'schedule ' || site)
            * case when stereotactic then len(stereotactic_gy) else len(other_gy) end)::integer as schedule_no
    from treated
),
named as (
    select
        *,
        case when stereotactic then stereotactic_gy[schedule_no] else other_gy[schedule_no] end as dose_gy,
        case when stereotactic then stereotactic_fractions[schedule_no] else other_fractions[schedule_no] end as fractions,
        case response when 'CR' then 'disappeared' when 'SD' then 'stable' when 'PD' then 'progressed' when 'NE' then 'not_evaluable'
            else case when measurable = 1 then 'reduced' else 'disappeared' end end as finding,
        case when measurable = 0 and response <> 'SD' then 'bone_scan' when site = 'brain' then 'mri' else 'ct' end as method
    from scheduled
)
select
    patient, site, new_lesion, list_contains(baseline, site)::integer as at_baseline, treated,
    case when treated = 1 then technique end as technique,
    case when treated = 1 then printf('%g', dose_gy::double) end as dose_gy,
    case when treated = 1 then fractions end as fractions,
    case when treated = 1 then response end as response,
    case when treated = 1 then finding end as finding,
    case when treated = 1 then method end as method,
    measurable
from named
