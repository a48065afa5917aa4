-- one row per: window and row of Table III; window and CTCAE term that occurs
-- unit: %, with Clopper-Pearson limits
-- why: the paper's window, and what was there before, during and soon after radiotherapy, or grew worse
-- source: PROTOCOL, Toxicity (windows; sensitivity)
select
    t.analysis_window, t.term_level, t.term, t.n_any, t.n_grade1, t.n_grade2, t.n_grade3, t.n_grade4, t.n_grade5, t.n_range, t.n_not_known,
    100.0 * t.n_any / nullif(t.n_denominator, 0) as pct_any, a.lcl_pct as pct_any_lcl, a.ucl_pct as pct_any_ucl,
    t.n_grade34, 100.0 * t.n_grade34 / nullif(t.n_denominator, 0) as pct_grade34, g.lcl_pct as pct_grade34_lcl, g.ucl_pct as pct_grade34_ucl,
    t.n_denominator
from reports.toxicity_counts t
left join reports.exact_limits a on a.n = t.n_any and a.denominator = t.n_denominator
left join reports.exact_limits g on g.n = t.n_grade34 and g.denominator = t.n_denominator
