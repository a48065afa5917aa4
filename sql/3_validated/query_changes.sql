-- one row per: query that fails since the newest deliveries, fails with another value, or fails no longer
-- why: what failed after each delivery is kept as what it changed: a million patients' open questions are not copied each time
-- source: QUALITY, Findings and the life of a query
with last as (
    select query_id, max(epoch) as epoch from staged.failed_before group by query_id
),
before as (
    from staged.failed_before semi join last using (query_id, epoch)
),
rule as (
    -- nothing checked and a reason: a later version of the protocol asks this
    select rule_id, bool_or(status = 'error') as is_broken, bool_and(status = 'not_applicable' and problem is not null) as is_later
    from validated.rule_counts
    group by rule_id
),
newest as (
    select coalesce(max(epoch), 1) as epoch from validated.deliveries
)
select
    newest.epoch, coalesce(n.query_id, b.query_id) as query_id, coalesce(n.centre, b.centre) as centre,
    coalesce(n.usubjid, b.usubjid) as usubjid, coalesce(n.table_name, b.table_name) as table_name,
    coalesce(n.record_key, b.record_key) as record_key, coalesce(n.field, b.field) as field,
    coalesce(n.rule_id, b.rule_id) as rule_id, coalesce(n.severity, b.severity) as severity,
    case when n.query_id is null then 'N' else 'Y' end as failing_fl,
    case when n.query_id is null and coalesce(r.is_later, true) then 'Y' else 'N' end as cancelled_fl,
    n.value_hash, coalesce(n.cause_id, b.cause_id) as cause_id
from validated.failing n
full join before b on b.query_id = n.query_id
cross join newest
left join rule r on r.rule_id = coalesce(n.rule_id, b.rule_id)
where
    case
        when b.query_id is null then true
        -- a rule that could not run says nothing: what it asked before stays asked
        when n.query_id is null then b.failing_fl = 'Y' and not coalesce(r.is_broken, false)
        else b.failing_fl = 'N' or b.value_hash <> n.value_hash or (b.severity, b.cause_id) <> (n.severity, n.cause_id)
    end
