-- one row per: linked subject
-- why: all failing criteria are listed, the first in the protocol's order is the main one; unknown is not eligible
-- source: PROTOCOL, Eligibility
with failing as (
    select f.usubjid, f.outcome, c.title, c.rule_order
    from validated.rule_failures f
    join validated.rule_catalog c using (rule_id)
    where f.severity = 'exclude' and f.usubjid is not null
),
judged as (
    select
        usubjid,
        bool_or(outcome = 'fail') as is_excluded,
        -- a criterion that fails goes before one that is unknown
        min_by(title, row(outcome <> 'fail', rule_order, title)) as main_reason,
        string_agg(
            case when outcome = 'fail' then title else title || ' (not known)' end,
            '; ' order by outcome <> 'fail', rule_order, title
        ) as reasons
    from failing
    group by usubjid
)
select
    s.usubjid,
    case when j.usubjid is null then 'eligible' when j.is_excluded then 'excluded' else 'undetermined' end as status,
    j.main_reason, j.reasons
from validated.screening s
left join judged j using (usubjid)
