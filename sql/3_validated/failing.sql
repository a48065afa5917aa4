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
    query_id, centre, usubjid, record_key, table_name, field,
    case when len(all_values) = 1 then value_received else nullif(array_to_string(list_sort(list_distinct(all_values)), ' | '), '') end
        as value_received,
    -- two values of one field of one record are one question, and one of them corrected is another value
    left(sha256(array_to_string(all_values, '|')), 16) as value_hash,
    -- one query per root cause: a text that nobody knows is one question however often it stands there, and so is a visit
    case
        when rule_id = 'structure/unmapped_code'
            then 'C' || left(sha256(concat_ws('|', rule_id, centre, table_name, field, question.value_received)), 12)
        when usubjid is not null and split_part(table_name, '.', -1) in ('measurements', 'adtr')
            and table_name not like 'staged.%' and len(string_split(record_key, '|')) > 2
            then 'C' || left(sha256(concat_ws('|', rule_id, centre, usubjid, split_part(record_key, '|', -1))), 12)
        else query_id
    end as cause_id,
    expected, rule_id, category, severity, message, suggestion, delivery_id, source_file, source_row
from question
where place = 1
