-- one row per: eligible subject, term and onset; the same event from two units is one
-- unit: CTCAE grade
-- why: both units follow the patient; the worst grade of the two records holds
-- source: CDISC ADaM ADAE; PROTOCOL, Toxicity (window from the first fraction)
with event as (
    select
        a.usubjid, a.aedecod, any_value(g.toxicity_group) as toxicity_group, a.aestdt,
        -- still ongoing when any record has no end
        case when bool_and(a.aeendt is not null) then max(a.aeendt) end as aeendt,
        -- a range that reaches higher than every single grade leaves the worst grade open
        case when max(a.aetoxgr) >= any_value(p.severe_grade_min) or not bool_or(r.is_range) then max(a.aetoxgr) end as aetoxgr,
        bool_or(a.aetoxgr between p.severe_grade_min and p.severe_grade_max or r.is_range) as is_severe,
        case when bool_or(a.aerel = 'both') or count(distinct nullif(a.aerel, 'none')) > 1 then 'both'
            else coalesce(max(nullif(a.aerel, 'none')), max(a.aerel)) end as aerel,
        arg_max(a.aeout, coalesce(a.aeendt, a.aestdt)) as aeout,
        string_agg(distinct a.centre, ', ' order by a.centre) as centres
    from harmonised.adverse_events a
    left join study.toxicity_groups g on g.code = a.aedecod
    cross join study.protocol p
    cross join lateral (
        select coalesce(a.aetoxgr_txt = printf('%d-%d', p.severe_grade_min, p.severe_grade_max), false) as is_range
    ) r
    where a.aedecod is not null
    group by a.usubjid, a.aedecod, a.aestdt
),
placed as (
    select
        e.*, s.rtstdt, p.acute_days,
        least(s.next_therapy_dt, s.seconddt + p.toxicity_tail_days) as window_end
    from event e
    join derived.adsl s using (usubjid)
    cross join study.protocol p
    where s.eligible_fl = 'Y'
)
select
    usubjid, aedecod, toxicity_group, aestdt, aeendt, aetoxgr,
    case when is_severe then 'Y' else 'N' end as grade34_fl,
    aerel, aeout,
    case when coalesce(aeendt, rtstdt) >= rtstdt and coalesce(aestdt <= window_end, true) then 'Y' else 'N' end as srt_window_fl,
    case when aestdt between rtstdt and rtstdt + acute_days then 'Y' else 'N' end as acute_fl,
    centres
from placed
