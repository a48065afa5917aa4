-- one row per: row of Table III
-- unit: %, with Clopper-Pearson limits
-- why: counts and rates with exact limits
-- source: Paper, Table III; PROTOCOL, Toxicity
select
    t.toxicity_group, t.n_any, 100.0 * t.n_any / nullif(t.n_denominator, 0) as pct_any, a.lcl_pct as pct_any_lcl, a.ucl_pct as pct_any_ucl,
    t.n_grade34, 100.0 * t.n_grade34 / nullif(t.n_denominator, 0) as pct_grade34, g.lcl_pct as pct_grade34_lcl, g.ucl_pct as pct_grade34_ucl,
    t.n_denominator
from reports.toxicity_counts t
left join reports.exact_limits a on a.n = t.n_any and a.denominator = t.n_denominator
left join reports.exact_limits g on g.n = t.n_grade34 and g.denominator = t.n_denominator
