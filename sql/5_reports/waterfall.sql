-- one row per: series and subject (irradiated: and lesion), as many as a figure holds
-- unit: % of baseline
-- why: the best change of each until progression or the next therapy, from the largest growth to the deepest response
-- source: RECIST 1.1, 4.3.1; PROTOCOL, Statistics and figures (waterfall)
select
    series, rank_no, any_value(n_measured) as n_measured, any_value(n_all) as n_all, usubjid, lesion_id,
    any_value(anatomic_site) as anatomic_site, any_value(baseline_mm) as baseline_mm, min(size_mm) as best_mm,
    any_value(best_pct) as best_pct, any_value(response) as response
from reports.spider
group by series, rank_no, usubjid, lesion_id
