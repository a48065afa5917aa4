-- one row per: level at which the response after radiotherapy is judged
-- unit: %, with Clopper-Pearson limits
-- why: one patient has several irradiated sites, and a site may hold several lesions: three denominators, side by side
-- source: Paper, Table II (patient and site); PROTOCOL, Response after SRT
select
    group_key as level, n, n_cr, n_pr, n_sd, n_pd, n_ne, orr_pct, orr_lcl, orr_ucl, dcr_pct, dcr_lcl, dcr_ucl, n_evaluable,
    orr_evaluable_pct
from reports.response_rates
where grouping = 'all' and response_basis = 'after_srt'
