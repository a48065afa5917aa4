-- one row per: irradiated target and assessment by the radiotherapy centre
-- unit: % (isodose)
-- why: only the radiotherapy centre knows what lies in its field
-- source: PROTOCOL, After radiotherapy
select
    usubjid, target_id, rsdt, restaging_fl, response, finding, method, field_relation, isodose_pct, centre,
    delivery_id, file_sha256, source_file, source_row
from staged.restagings
where usubjid is not null
