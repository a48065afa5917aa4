-- one row per: linked subject
-- why: all failing criteria are listed, the first in the protocol's order is the main one; unknown or not judged is not eligible
-- source: PROTOCOL, Eligibility
with criterion as (
    select
        rule_id, any_value(title) as title, any_value(rule_order) as rule_order,
        bool_or(severity = 'exclude' and status = 'error') as is_broken
    from validated.rule_counts
    group by rule_id
),
answer as (
    select usubjid, rule_id, outcome from validated.rule_failures where severity = 'exclude'
    union all
    -- a rule that could not run leaves no failing rows, which must not read as met
    select s.usubjid, c.rule_id, 'error' from validated.screening s join criterion c on c.is_broken
),
judged as (
    select
        a.usubjid, bool_or(a.outcome = 'fail') as is_excluded,
        -- what excludes the subject goes before what is not known
        list(
            case a.outcome when 'fail' then 'not met: ' when 'error' then 'not judged: ' else 'not known: ' end || c.title
            order by a.outcome <> 'fail', c.rule_order, a.rule_id
        ) as reasons
    from answer a
    join criterion c using (rule_id)
    group by a.usubjid
)
select
    s.usubjid,
    case when j.usubjid is null then 'eligible' when j.is_excluded then 'excluded' else 'undetermined' end as status,
    j.reasons[1] as main_reason,
    array_to_string(j.reasons, '; ') as reasons
from validated.screening s
left join judged j using (usubjid)
