-- one row per: study
select
    (date_trunc('month', max(last_date)) + to_days(s.export_lag_days))::date as extract_date, any_value(s.seed) as seed
from (
    select unnest([max(last_visit), max(last_scan), max(death_date)]) as last_date from world.patients
) cross join world.story s
group by s.export_lag_days
