-- one row per: rule, centre, record and field that fails now
-- why: what is asked of a centre keeps its identity while the value changes: rule, centre, record and field, never the value
-- source: QUALITY, Findings and the life of a query
with identified as materialized (
    select 'Q' || left(sha256(concat(rule_id, '|', centre, '|', record_key, '|', field)), 12) as query_id, *
    from validated.rule_failures f
    where
        -- who is not known to be eligible stays so, but the text that nobody can read is asked about by itself
        f.outcome is distinct from 'unknown' or not exists (
            select 1 from staged.findings s
            where
                s.centre = f.centre and s.source_file = f.source_file and s.source_row = f.source_row and s.staged_field = f.field
        )
),
twice as (
    select query_id from identified group by query_id having count(*) > 1
),
question as (
    select *, value_received as shown, coalesce(value_received, '') as hashed from identified anti join twice using (query_id)
    union all
    -- two values of one field of one record are one question, and one of them corrected is another value
    select
        *, nullif(array_to_string(list_sort(list_distinct(list(coalesce(value_received, '')) over same)), ' | '), '') as shown,
        array_to_string(list_sort(list(coalesce(value_received, '')) over same), '|') as hashed
    from identified semi join twice using (query_id)
    window same as (partition by query_id)
    qualify row_number() over (partition by query_id order by source_file, length(source_row), source_row, value_received) = 1
)
select
    query_id, centre, usubjid, record_key, table_name, field, shown as value_received,
    left(sha256(hashed), 16) as value_hash,
    -- one query per root cause: a text that nobody knows is one question however often it stands there, and so is a visit
    case
        when rule_id = 'structure/unmapped_code'
            then 'C' || left(sha256(concat_ws('|', rule_id, centre, table_name, field, shown)), 12)
        when usubjid is not null and table_name in ('harmonised.measurements', 'assessed.adtr')
            and len(string_split(record_key, '|')) > 2
            then 'C' || left(sha256(concat_ws('|', rule_id, centre, usubjid, split_part(record_key, '|', -1))), 12)
        else query_id
    end as cause_id,
    expected, rule_id, category, severity, message, suggestion, local_expected, local_message, local_suggestion, delivery_id, source_file, source_row
from question
