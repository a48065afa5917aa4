-- one row per: record of a centre that came, went or returned with its newest delivery, and per field that changed in it
-- why: what a hospital corrected, and what it stopped sending, is seen without comparing two exports by hand
-- source: ARCHITECTURE, The flow (full snapshots; a record that vanished is a finding, never a silent delete)
select
    centre, delivery_id, table_name, usubjid, record_key, change, field, value_before, value_after, source_file, source_row
from staged.changes
