-- one row per: row of Table III
-- why: patients with any grade and with grade 3-4, each patient once
-- source: PROTOCOL, Toxicity
select
    g.code as toxicity_group,
    count(distinct a.usubjid) as n_any,
    count(distinct a.usubjid) filter (a.grade34_fl = 'Y') as n_grade34,
    (select count(*) from derived.adsl where eligible_fl = 'Y') as n_denominator
from study.toxicity_row g
left join derived.adae a on a.toxicity_group = g.code and a.srt_window_fl = 'Y'
group by g.code
