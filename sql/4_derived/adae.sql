-- one row per: eligible subject, term and onset; the same event from two units is one, what has no onset or no term is not
-- unit: CTCAE grade
-- why: both units follow the patient; the worst grade of the two records holds
-- source: CDISC ADaM ADAE; PROTOCOL, Toxicity (window from the first fraction)
with event as (
    select
        a.usubjid, a.aedecod, any_value(g.toxicity_group) as toxicity_group, coalesce(m.event_dt, a.aestdt) as onset_dt,
        -- still ongoing when any record has no end
        case when bool_and(a.aeendt is not null) then max(a.aeendt) end as aeendt,
        -- a range that reaches higher than every single grade leaves the worst grade open
        case when max(r.grade) >= any_value(p.severe_grade_max) or not bool_or(r.is_range) then max(r.grade) end as aetoxgr,
        bool_or(r.grade between p.severe_grade_min and p.severe_grade_max or r.is_range) as is_severe,
        case when min(nullif(a.aerel, 'none')) <> max(nullif(a.aerel, 'none')) then 'both'
            else coalesce(max(nullif(a.aerel, 'none')), max(a.aerel)) end as aerel,
        arg_max(a.aeout, coalesce(a.aeendt, a.aestdt)) as aeout,
        -- distinct aggregates cost several times the rest
        case when min(a.centre) = max(a.centre) then min(a.centre)
            else array_to_string(list_sort(list_distinct(list(a.centre))), ', ') end as centres
    from harmonised.adverse_events a
    left join derived.merged_events m on m.usubjid = a.usubjid and m.aedecod = a.aedecod and m.aestdt = a.aestdt
    left join study.toxicity_groups g on g.code = a.aedecod
    cross join study.protocol p
    cross join lateral (
        select
            case when a.aetoxgr between 1 and p.max_grade then a.aetoxgr end as grade,
            coalesce(a.aetoxgr_txt = printf('%d-%d', p.severe_grade_min, p.severe_grade_max), false) as is_range,
            case when a.aestdt is null or a.aedecod = 'Other' then struct_pack(centre := a.centre, last_dt := a.aeendt) end as alone
    ) r
    where a.aedecod is not null
    group by a.usubjid, a.aedecod, onset_dt, r.alone
),
placed as (
    select
        e.*, e.onset_dt as aestdt, s.rtstdt, s.rtendt, p.acute_days,
        least(s.next_therapy_dt, s.seconddt + p.toxicity_tail_days) as last_day,
        -- an end before the onset cannot be right: the onset counts
        greatest(coalesce(e.aeendt, s.rtstdt), e.onset_dt) >= s.rtstdt and coalesce(e.onset_dt <= last_day, true) as is_after
    from event e
    join derived.adsl s using (usubjid)
    cross join study.protocol p
    where s.eligible_fl = 'Y'
)
select
    usubjid, aedecod, toxicity_group, aestdt, aeendt, aetoxgr,
    case when is_severe then 'Y' else 'N' end as grade34_fl,
    aerel, aeout,
    case when is_after then 'Y' else 'N' end as srt_window_fl,
    case when aestdt between rtstdt and rtstdt + acute_days then 'Y' else 'N' end as acute_fl,
    centres,
    -- of an event without an onset only its end is known
    case when coalesce(aestdt, aeendt) < rtstdt then 'Y' else 'N' end as before_rt_fl,
    case when is_after and coalesce(aestdt, aeendt) <= rtendt then 'Y' else 'N' end as during_rt_fl,
    case when is_after and aestdt >= rtstdt then 'Y' else 'N' end as new_fl
from placed
