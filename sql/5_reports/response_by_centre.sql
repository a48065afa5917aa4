-- one row per: centre and response basis
-- unit: %, with Clopper-Pearson limits
-- why: the same subjects seen from their oncology and from their radiotherapy centre
-- source: PROTOCOL, Statistics and figures
select
    r.group_key as centre, k.centre_kind, r.response_basis, r.n, r.n_cr, r.n_pr, r.n_sd, r.n_pd, r.n_ne, r.orr_pct, r.orr_lcl, r.orr_ucl,
    r.dcr_pct, r.dcr_lcl, r.dcr_ucl, r.n_evaluable, r.orr_evaluable_pct
from reports.response_rates r
join study.centres k on k.centre = r.group_key
where r.grouping = 'centre'
