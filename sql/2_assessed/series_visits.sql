-- one row per: linked subject, series and assessment from the baseline of the series on
-- why: first line and after radiotherapy are judged by the same rules, each from its own baseline
-- source: PROTOCOL, After radiotherapy: two series
with series_visit as (
    select 'first_line' as series, usubjid, visitnum, adt, last_dt, baseline_fl from assessed.visits
    union all
    select 'after_rt', usubjid, visitnum, adt, last_dt, rt_baseline_fl from assessed.visits
)
select usubjid, series, visitnum, adt, last_dt, baseline_fl
from series_visit
qualify adt >= min(adt) filter (baseline_fl = 'Y') over (partition by usubjid, series)
