-- one row per: printed row of Table III
-- unit: %
-- why: patients, not events, with the worst grade of each row
-- source: Paper, Table III; CTCAE v4.0
select
    row_number() over (order by r.severe, g.list_order) as row_no,
    case when r.severe then 'Grade 3-4' else 'Any grade' end as section,
    case when r.severe then 'tox_g34.' else 'tox_any.' end || t.term as row_key,
    g.label,
    case when r.severe then t.n_grade34 else t.n_any end as n,
    t.n_denominator as denominator,
    case when t.n_denominator > 0 then 100.0 * (case when r.severe then t.n_grade34 else t.n_any end) / t.n_denominator end as pct,
    null as value, null as value_min, null as value_max,
    case
        when t.n_denominator > 0 then printf('%d (%.' || p.decimals_percent || 'f %%)', case when r.severe then t.n_grade34 else t.n_any end,
            round(100 * (case when r.severe then t.n_grade34 else t.n_any end)::double / t.n_denominator, p.decimals_percent))
        else '0'
    end as value_text
from reports.toxicity_counts t
join study.toxicity_row g on g.code = t.term and t.term_level = 'group' and t.analysis_window = 'after'
cross join (select unnest([false, true]) as severe) r
cross join study.protocol p
