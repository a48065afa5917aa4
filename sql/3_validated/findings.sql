-- one row per: finding of landing, staging or the rules
-- why: what is asked of a centre keeps its identity while the value changes: rule, centre, record and field, never the value
-- source: QUALITY, Findings and the life of a query
with in_force as (
    select centre, max(delivery_id) as delivery_id from staged.received group by centre
),
identified as (
    select
        'Q' || left(sha256(array_to_string([rule_id, centre, coalesce(record_key, ''), coalesce(field, '')], '|')), 12) as query_id,
        f.*, coalesce(f.delivery_id, d.delivery_id) as seen_in
    from validated.rule_failures f
    left join in_force d using (centre)
)
select
    query_id, centre, usubjid, record_key, table_name, field, value_received, expected, rule_id, category, severity, message,
    suggestion, local_expected, local_message, local_suggestion,
    'new' as state, seen_in as first_delivery, seen_in as last_delivery, source_file, source_row
from identified
-- two values of one field of one record are one question
qualify row_number() over (partition by query_id order by source_file, length(source_row), source_row, value_received) = 1
