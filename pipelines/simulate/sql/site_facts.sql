-- one row per: row of the lesions file, with what its feasibility depends on
select
    d.*, p.patient is not null as in_cohort,
    list_contains(string_split(p.baseline_sites, '|'), d.site) as listed_at_baseline,
    count(*) over (partition by d.patient, d.site) as copies,
    case
        when d.response = 'CR' or (d.response = 'PR' and d.measurable = 0) then 'disappeared'
        when d.response = 'PR' then 'reduced'
        when d.response = 'SD' then 'stable'
        when d.response = 'PD' then 'progressed'
        when d.response = 'NE' then 'not_evaluable'
    end as expected_finding
from world.deposits d
left join world.cohort p using (patient)
