-- one row per: patient and lesion, with what happens to it (before any size is drawn)
-- unit: seen = when first seen (baseline, oligo, second); dose in Gy
-- why: a baseline site without a progressing lesion holds one or two that stay as they are
with site as (
    select patient, best_response_l1, unnest(string_split(baseline_sites, '|')) as anatomic_site from world.patients
),
deposit as (
    select
        d.* exclude (site), d.site as anatomic_site,
        case when d.new_lesion = 1 then 'oligo' else 'baseline' end as seen,
        true as progressing, coalesce(d.measurable, 1) = 1 as is_measurable, 1 as part
    from world.deposits d
),
measurable_site as (
    select patient, count(*) as n from (
        select patient, anatomic_site from deposit where seen = 'baseline' and is_measurable
        union
        select patient, anatomic_site from site where anatomic_site <> 'bone'
            and (patient, anatomic_site) not in (select (patient, anatomic_site) from deposit where seen = 'baseline')
    ) group by patient
),
bystander as (
    -- bone is measured only where a response would otherwise have nothing to be seen on
    select
        t.patient, t.anatomic_site, 'baseline' as seen, false as progressing,
        t.anatomic_site <> 'bone' or (m.n is null and t.best_response_l1 <> 'PD') as is_measurable,
        unnest(range(1, 2 + (
            t.anatomic_site in ('lung', 'liver') and world.draw(t.patient, t.anatomic_site || ' parts') < s.second_part_share
        )::int)) as part
    from site t
    cross join world.story s
    left join deposit d on d.patient = t.patient and d.anatomic_site = t.anatomic_site and d.seen = 'baseline'
    left join measurable_site m on m.patient = t.patient
    where d.patient is null
),
distant as (
    -- outside the field: a site that was not irradiated
    select patient, world.pick(free, world.draw(patient, 'distant')) as anatomic_site
    from (
        select
            p.patient,
            list_filter(s.distant_sites, lambda x: not list_contains(d.treated, x)) as free
        from world.patients p cross join world.story s
        join (select patient, list(site) filter (treated = 1) as treated from world.deposits group by patient) d using (patient)
        where p.second_pattern in ('distant', 'both')
    )
),
lesion as (
    select * from deposit
    union all by name
    select * from bystander
    union all by name
    select patient, anatomic_site, 'second' as seen, false as progressing, true as is_measurable, 1 as part from distant
),
named as (
    select
        *,
        case when seen = 'baseline' then 'L' else 'N' end || row_number() over (
            partition by patient, seen = 'baseline' order by seen, anatomic_site, part
        ) as lesion_id,
        row_number() over (
            partition by patient, seen, is_measurable order by progressing desc, anatomic_site, part
        ) as target_rank,
        coalesce(treated, 0) = 1 as irradiated,
        row_number() over (partition by patient, coalesce(treated, 0) order by anatomic_site) as target_no,
        row_number() over (
            partition by patient, coalesce(treated, 0), response is not distinct from 'NE'
            order by is_measurable desc, anatomic_site
        ) as relapse_rank
    from lesion
)
select
    n.patient, n.lesion_id, n.anatomic_site, n.seen, n.progressing, n.irradiated, n.is_measurable,
    case when n.seen <> 'baseline' then 'new'
        when n.is_measurable and n.target_rank <= pr.max_targets then 'target' else 'non_target' end as lesion_role,
    case when n.irradiated then n.target_no end as target_no,
    n.technique, n.dose_gy, n.fractions, n.response, n.finding, n.method as restaging_method,
    -- in-field relapse after a restaging without PD; a PD at restaging is itself the second progression
    coalesce(n.irradiated and n.response <> 'NE' and n.relapse_rank = 1 and p.second_pattern in ('local', 'both')
        and p.second_progression > p.restaging, false) as relapses,
    -- one method from the first sight on; a bone scan is only ever a restaging of the radiotherapy centre
    case when n.method in ('ct', 'mri') then n.method
        when n.anatomic_site = 'brain' then 'mri'
        when n.anatomic_site = 'skin' and n.seen = 'baseline' then 'caliper'
        else 'ct' end as method
from named n
join world.patients p using (patient)
cross join world.protocol pr
