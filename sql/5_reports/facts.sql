-- one row per: computed figure and measure of it
-- unit: as in study/published.csv
-- why: every figure that the paper could be checked against, under the keys that study/published.csv refers to
-- source: Paper, Tables I-III and Results
with eligible as (
    select * from derived.adsl where eligible_fl = 'Y'
),
printed as (
    select row_key, n, pct, value, value_min, value_max from reports.table1
    union all
    select row_key, n, pct, value, value_min, value_max from reports.table2
    union all
    select row_key, n, pct, value, value_min, value_max from reports.table3
),
treated as (
    select t.*, a.dose_group from derived.treated_sites t
    join eligible e using (usubjid)
    join study.anatomic_site a on a.code = t.anatomic_site
),
share as (
    -- numerators and denominators that stand in the text only
    select 'treated.' || a.code as row_key, count(s.usubjid) as n, (select count(*) from eligible) as denominator
    from study.anatomic_site a
    left join (select x.* from derived.subject_sites x join eligible using (usubjid) where x.treated_fl = 'Y') s on s.anatomic_site = a.code
    group by a.code
    union all
    select 'treated_group.' || dose_group, count(distinct usubjid), (select count(*) from eligible) from treated group by dose_group
    union all
    select 'baseline_group.' || a.dose_group, count(distinct s.usubjid), (select count(*) from eligible)
    from derived.subject_sites s
    join eligible e using (usubjid)
    join study.anatomic_site a on a.code = s.anatomic_site
    where s.baseline_fl = 'Y'
    group by a.dose_group
    union all
    select 'drug.kept', count(*) filter (interrupted_days = 0), count(*) from eligible
    union all
    select 'drug.interrupted', count(*) filter (interrupted_days > 0), count(*) from eligible
    union all
    select 'drug.same_dose', count(*) filter (same_dose_fl = 'Y'), count(*) from eligible
    union all
    select 'centres.oncology', count(distinct siteid), null from eligible
    union all
    select 'centres.radiotherapy', count(distinct rtsiteid), null from eligible
    union all
    select 'pfs.' || paramcd, n, null from reports.pfs_summary
    union all
    select 'rule.' || string_split(rule_id, '/')[2], sum(n_checked - n_failed), sum(n_checked)
    from validated.rule_counts where family = 'eligibility' group by rule_id
    union all
    select 'toxicity.radiotherapy_not_recovered', count(distinct usubjid) filter (aeout is distinct from 'recovered'), count(distinct usubjid)
    from derived.adae where aerel in ('radiotherapy', 'both')
),
spread as (
    select 'pfs.' || paramcd as row_key, median_months as value, min_months as value_min, max_months as value_max from reports.pfs_summary
    union all
    select 'ecog', median(ecog), min(ecog), max(ecog) from eligible
    union all
    select 'drug.days_off', median(interrupted_days), min(interrupted_days), max(interrupted_days) from eligible where interrupted_days > 0
    union all
    select 'progressing_lesions', median(n_progressing + n_new), min(n_progressing + n_new), max(n_progressing + n_new) from eligible
    union all
    select 'new_lesions', median(n_new), min(n_new), max(n_new) from eligible
    union all
    select 'restaging_days', median(restagingdt - rtendt), min(restagingdt - rtendt), max(restagingdt - rtendt) from eligible
    union all
    select 'bed10', median(bed10_gy), min(bed10_gy), max(bed10_gy) from treated
    union all
    select 'isodose', median(r.isodose_pct), min(r.isodose_pct), max(r.isodose_pct)
    from harmonised.restagings r join eligible using (usubjid) where r.field_relation = 'in_field'
    union all
    select 'drug.start_dose', median(x.exdose_mg), min(x.exdose_mg), max(x.exdose_mg)
    from harmonised.exposures x join eligible e on e.usubjid = x.usubjid and e.trtsdt = x.exstdt
    union all
    -- the step between two daily doses that follow each other
    select 'drug.step', median(step), min(step), max(step) from (
        select abs(x.exdose_mg - lag(x.exdose_mg) over (partition by x.usubjid order by x.exstdt)) as step
        from harmonised.exposures x join eligible using (usubjid) where x.exdose_mg > 0
    ) where step > 0
),
response as (
    select 'srt' as row_key, srt_response as measure, count(*) as n from eligible group by srt_response
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
select row_key, 'n' as measure, n as value from printed where pct is not null
union all
select row_key, 'pct', pct from printed where pct is not null
union all
select row_key, 'n', n from share
union all
select row_key, 'pct', 100.0 * n / denominator from share where denominator > 0
union all
select row_key, unnest(['value', 'min', 'max']), unnest([value, value_min, value_max]) from printed where value is not null
union all
select row_key, unnest(['value', 'min', 'max']), unnest([value, value_min, value_max]) from spread where value is not null
union all
select row_key, measure, n from response where measure is not null
union all
select row_key, measure, value from claim
