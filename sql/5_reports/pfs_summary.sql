-- one row per: endpoint
-- unit: month
-- why: the medians that the paper prints, everybody together; an endpoint by lesion counts lesions
-- source: PROTOCOL, Endpoints; Paper, Results
select paramcd, n, n_event, n_censored, median_months, median_lcl, median_ucl, min_months, max_months
from reports.survival_summary
where grouping = 'all'
