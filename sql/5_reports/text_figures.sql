-- one row per: computed figure that the paper gives in its text only
-- unit: month, day, Gy, mg, %, lesions, as the key says
-- why: Results and Methods state figures that no table of the paper holds
-- source: Paper, Methods and Results
with eligible as (
    select * from derived.adsl where eligible_fl = 'Y'
),
treated as (
    select t.*, a.dose_group from derived.treated_sites t
    join eligible e using (usubjid)
    join study.anatomic_site a on a.code = t.anatomic_site
),
share as (
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
)
select row_key, n, denominator, null as value, null as value_min, null as value_max from share
union all
select row_key, null, null, value, value_min, value_max from spread
