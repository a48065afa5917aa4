-- one row per: row of Table III
-- unit: %, with Clopper-Pearson limits
-- why: counts and rates with exact limits, in the paper's window
-- source: Paper, Table III; PROTOCOL, Toxicity
select
    term as toxicity_group, n_any, pct_any, pct_any_lcl, pct_any_ucl, n_grade34, pct_grade34, pct_grade34_lcl, pct_grade34_ucl, n_denominator
from reports.toxicity_windows
where analysis_window = 'after' and term_level = 'group'
