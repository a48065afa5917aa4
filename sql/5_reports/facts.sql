-- one row per: computed figure and measure of it
-- unit: as in study/published.csv
-- why: every figure that the paper could be checked against, under the keys that study/published.csv refers to
-- source: Paper, Tables I-III and Results
with printed as (
    select row_key, n, denominator, value, value_min, value_max from reports.table1
    union all
    select row_key, n, denominator, value, value_min, value_max from reports.table2
    union all
    select row_key, n, denominator, value, value_min, value_max from reports.table3
    union all
    select row_key, n, denominator, value, value_min, value_max from reports.text_figures
    union all
    select row_key, n, denominator, value, value_min, value_max from reports.exposure
),
treated as (
    select t.* from derived.treated_sites t
    join derived.adsl e using (usubjid)
    where e.eligible_fl = 'Y'
),
response as (
    select 'srt' as row_key, srt_response as measure, count(*) as n from derived.adsl where eligible_fl = 'Y' group by srt_response
    union all
    select 'srt.' || anatomic_site, response, count(*) from treated group by anatomic_site, response
    union all
    select 'finding.' || anatomic_site, finding, count(*) from treated group by anatomic_site, finding
),
site_rank as (
    select
        anatomic_site, count(*) filter (response = 'PD') / count(*)::double as pd_share,
        count(*) filter (response = 'PR') as n_pr
    from treated group by anatomic_site
),
claim as (
    select 'srt' as row_key, 'n_without_pr' as measure, count(*) filter (n_pr = 0) as value from site_rank
    union all
    select 'srt.' || a.anatomic_site, 'n_worse', count(b.anatomic_site)
    from site_rank a left join site_rank b on b.pd_share > a.pd_share group by a.anatomic_site
)
select row_key, 'n' as measure, n as value from printed where value is null
union all
select row_key, 'pct', 100.0 * n / denominator from printed where value is null and denominator > 0
union all
select row_key, unnest(['value', 'min', 'max']), unnest([value, value_min, value_max]) from printed where value is not null
union all
select row_key, measure, n from response where measure is not null
union all
select row_key, measure, value from claim
