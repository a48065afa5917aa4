-- one row per: rule, centre, record and field that fails now
-- why: what is asked of a centre keeps its identity while the value changes: rule, centre, record and field, never the value
-- source: QUALITY, Findings and the life of a query
with identified as (
    select
        'Q' || left(sha256(array_to_string([rule_id, centre, coalesce(record_key, ''), coalesce(field, '')], '|')), 12) as query_id,
        *
    from validated.rule_failures
),
question as (
    select
        *,
        list(coalesce(value_received, '') order by value_received) over (partition by query_id) as all_values,
        row_number() over (partition by query_id order by source_file, length(source_row), source_row, value_received) as place
    from identified
)
select
    query_id, centre, usubjid, record_key, table_name, field, value_received,
    -- two values of one field of one record are one question, and one of them corrected is another value
    left(sha256(array_to_string(all_values, '|')), 16) as value_hash,
    expected, rule_id, category, severity, message, suggestion, delivery_id, source_file, source_row
from question
where place = 1
