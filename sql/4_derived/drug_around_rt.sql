-- one row per: linked subject with radiotherapy and the study drug
-- unit: day; mg/day
-- why: the question of the study is whether the drug goes on through radiotherapy
-- source: PROTOCOL, Toxicity (pazopanib kept or interrupted, days off, dose after)
with ended as (
    -- a pause whose end nobody entered was over before the next interval began; how long it was nobody knows
    select
        e.*, coalesce(
            e.exendt, case when e.exdose_mg = 0 then lead(e.exstdt) over (partition by e.usubjid order by e.exstdt, e.exendt) - 1 end,
            'infinity'::date
        ) as last_dt
    from harmonised.exposures e
    join study.protocol p on p.study_drug = e.extrt
),
step as (
    select
        e.usubjid, e.exstdt, e.last_dt, e.exendt, e.exdose_mg, e.exadj, o.rtstdt, d.rtendt,
        e.exdose_mg = 0 and e.last_dt >= o.rtstdt - p.interruption_window_days
        and e.exstdt <= d.rtendt + p.interruption_window_days as is_pause,
        max(e.last_dt) over earlier as covered_dt
    from ended e
    join assessed.oligo_courses o using (usubjid)
    join assessed.subject_dates d using (usubjid)
    cross join study.protocol p
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
        usubjid, count(*) filter (is_pause) as n_pauses,
        -- no total where one of them has no end
        case
            when count(*) filter (is_pause) = count(*) filter (is_pause and exendt >= exstdt)
                then sum(exendt - exstdt + 1) filter (is_pause)
        end as days_off,
        arg_min(exadj, exstdt) filter (is_pause) as reason,
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
