-- one row per: finding of landing, staging or the rules
-- why: what is found now, with what became of it in all deliveries; what is settled stands in validated.queries
-- source: QUALITY, Findings and the life of a query
select
    f.query_id, f.centre, f.usubjid, f.record_key, f.table_name, f.field, f.value_received, f.expected, f.rule_id, f.category,
    f.severity, f.message, f.suggestion, f.local_expected, f.local_message, f.local_suggestion, q.state, q.first_delivery, q.last_delivery, f.source_file, f.source_row, q.first_dt, q.due_dt,
    q.age_days, q.n_deliveries, q.conflict, q.site_reply, q.site_comment, q.replied_by, q.replied_on, f.cause_id
from validated.failing f
join validated.queries q using (query_id)
