-- one row per: measure and centre
-- why: every rate by which centres are held against each other, once
-- source: PROTOCOL, Statistics and figures (funnel by centre); QUALITY, The report to a centre
with severe as (
    select distinct usubjid from derived.adae where srt_window_fl = 'Y' and grade34_fl = 'Y'
),
subject as (
    select a.siteid, a.rtsiteid, s.usubjid is not null as is_severe
    from derived.adsl a
    left join severe s using (usubjid)
    where a.eligible_fl = 'Y'
),
counted as (
    select 'orr_' || response_basis as measure, group_key as centre, n_cr + n_pr as n_with, n from reports.response_counts where grouping = 'centre'
    union all
    select 'dcr_' || response_basis, group_key, n_cr + n_pr + n_sd, n from reports.response_counts where grouping = 'centre'
    union all
    select 'severe_toxicity', siteid, count(*) filter (is_severe), count(*) from subject group by siteid
    union all
    select 'severe_toxicity', rtsiteid, count(*) filter (is_severe), count(*) from subject group by rtsiteid
    union all
    select figure, centre, n_with, n from reports.centre_figures where n_back = 0 and n_with is not null and n > 0
)
select c.measure, c.centre, k.centre_kind, c.n_with, c.n
from counted c
join study.centres k using (centre)
