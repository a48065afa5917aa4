-- one row per: irradiated anatomic site
-- unit: %, with Clopper-Pearson limits
-- why: response of the irradiated sites at restaging
-- source: Paper, Table II; PROTOCOL, Statistics and figures
select
    group_key as anatomic_site, n, n_cr, n_pr, n_sd, n_pd, n_ne, orr_pct, orr_lcl, orr_ucl, dcr_pct, dcr_lcl, dcr_ucl, n_evaluable,
    orr_evaluable_pct
from reports.response_rates
where grouping = 'anatomic_site'
