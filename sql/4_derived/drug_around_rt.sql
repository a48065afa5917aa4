-- one row per: linked subject with radiotherapy and the study drug
-- unit: day; mg/day
-- why: the question of the study is whether the drug goes on through radiotherapy
-- source: PROTOCOL, Toxicity (pazopanib kept or interrupted, days off, dose after)
with step as (
    select
        e.usubjid, e.exstdt, coalesce(e.exendt, 'infinity'::date) as last_dt, e.exendt, e.exdose_mg, e.exadj, o.rtstdt, d.rtendt,
        e.exdose_mg = 0 and coalesce(e.exendt, o.rtstdt) >= o.rtstdt - p.interruption_window_days
        and e.exstdt <= d.rtendt + p.interruption_window_days as is_pause,
        max(coalesce(e.exendt, 'infinity'::date)) over earlier as covered_dt
    from harmonised.exposures e
    join assessed.oligo_courses o using (usubjid)
    join assessed.subject_dates d using (usubjid)
    cross join study.protocol p
    where e.extrt = p.study_drug
    window earlier as (partition by e.usubjid order by e.exstdt, e.exendt rows between unbounded preceding and 1 preceding)
),
placed as (
    select
        *, max(last_dt) filter (is_pause) over (partition by usubjid) as pause_end,
        -- days before it, between first and last fraction, of which no interval tells
        exstdt > rtstdt and coalesce(covered_dt < exstdt - 1 and covered_dt < rtendt, true) as is_after_gap
    from step
),
counted as (
    select
        usubjid, count(*) filter (is_pause) as n_pauses, sum(exendt - exstdt + 1) filter (is_pause and exendt >= exstdt) as days_off,
        max(exadj) filter (is_pause) as reason,
        arg_max(exdose_mg, exstdt) filter (exdose_mg > 0 and exstdt <= rtstdt) as dose_before_mg,
        -- from the interruption on, if there was one
        arg_min(exdose_mg, exstdt) filter (exdose_mg > 0 and last_dt > greatest(rtendt, pause_end)) as dose_after_mg,
        coalesce(bool_or(exdose_mg > 0 and last_dt >= rtstdt and (pause_end is null or last_dt > pause_end)), false) as has_gone_on,
        coalesce(bool_or(is_after_gap), false) as has_gap
    from placed group by usubjid
)
select
    usubjid,
    case when not has_gone_on then 'stopped' when n_pauses > 0 then 'interrupted' when has_gap then 'unknown' else 'kept' end as drug_state,
    days_off, reason, dose_before_mg, dose_after_mg
from counted
