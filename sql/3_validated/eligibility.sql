-- one row per: linked subject
-- why: all failing criteria are listed, the first in the protocol's order is the main one; unknown is not eligible
-- source: PROTOCOL, Eligibility
with criterion as (
    select rule_id, any_value(title) as title, any_value(rule_order) as rule_order from validated.rule_counts group by rule_id
),
judged as (
    select
        f.usubjid, bool_or(f.outcome = 'fail') as is_excluded,
        -- what excludes the subject goes before what is not known
        list(
            case f.outcome when 'fail' then 'not met: ' else 'not known: ' end || c.title
            order by f.outcome <> 'fail', c.rule_order, f.rule_id
        ) as reasons
    from validated.rule_failures f
    join criterion c using (rule_id)
    where f.severity = 'exclude'
    group by f.usubjid
)
select
    s.usubjid,
    case when j.usubjid is null then 'eligible' when j.is_excluded then 'excluded' else 'undetermined' end as status,
    j.reasons[1] as main_reason,
    array_to_string(j.reasons, '; ') as reasons
from validated.screening s
left join judged j using (usubjid)
