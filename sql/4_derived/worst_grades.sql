-- one row per: eligible subject and CTCAE term, and eligible subject and row of Table III
-- unit: CTCAE grade as text, in an order that is also that of texts: (not known), 1, 2, 3, 3-4, 4, 5
-- why: patients are counted, not events, with the worst grade in each window
-- source: PROTOCOL, Toxicity (worst grade per patient and row; windows)
with event as (
    select
        a.*,
        case
            when a.aetoxgr is not null then a.aetoxgr::varchar
            when a.grade34_fl = 'Y' then p.severe_grade_min || '-' || p.severe_grade_max
            else '(not known)'
        end as grade
    from derived.adae a
    cross join study.protocol p
),
term as (
    select
        usubjid, aedecod, any_value(toxicity_group) as toxicity_group,
        max(grade) as whole,
        max(grade) filter (before_rt_fl = 'Y') as before,
        max(grade) filter (during_rt_fl = 'Y') as during,
        max(grade) filter (srt_window_fl = 'Y') as after,
        max(grade) filter (acute_fl = 'Y' and srt_window_fl = 'Y') as acute,
        max(grade) filter (new_fl = 'Y') as began,
        max(grade) filter (new_fl = 'N' and srt_window_fl = 'Y') as ongoing
    from event group by usubjid, aedecod
),
judged as (
    -- what was there at the first fraction counts only when a later record of the term is worse
    select *, case when began > ongoing or ongoing is null then began end as new_or_worsened from term
)
select usubjid, 'term' as term_level, aedecod as term, whole, before, during, after, acute, new_or_worsened from judged
union all
select usubjid, 'group', toxicity_group, max(whole), max(before), max(during), max(after), max(acute), max(new_or_worsened)
from judged where toxicity_group is not null group by usubjid, toxicity_group
