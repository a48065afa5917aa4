-- one row per: response basis and group
-- unit: %, with Clopper-Pearson limits
-- why: response rates by anatomic site and by centre are one calculation; all count, the evaluable ones stand beside them
-- source: PROTOCOL, Statistics and figures
select
    c.response_basis, c.grouping, c.group_key, c.n, c.n_cr, c.n_pr, c.n_sd, c.n_pd, c.n_ne,
    100.0 * (c.n_cr + c.n_pr) / c.n as orr_pct, o.lcl_pct as orr_lcl, o.ucl_pct as orr_ucl,
    100.0 * (c.n_cr + c.n_pr + c.n_sd) / c.n as dcr_pct, d.lcl_pct as dcr_lcl, d.ucl_pct as dcr_ucl,
    c.n - c.n_ne as n_evaluable,
    100.0 * (c.n_cr + c.n_pr) / nullif(c.n - c.n_ne, 0) as orr_evaluable_pct
from reports.response_counts c
left join reports.exact_limits o on o.n = c.n_cr + c.n_pr and o.denominator = c.n
left join reports.exact_limits d on d.n = c.n_cr + c.n_pr + c.n_sd and d.denominator = c.n
