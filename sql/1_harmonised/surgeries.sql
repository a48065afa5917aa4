-- one row per: operation
-- why: Table I counts nephrectomies and resected metastases
-- source: CDISC SDTM PR
select
    usubjid, prtrt, anatomic_site, centre, delivery_id, file_sha256, source_file, source_row
from staged.surgeries
where usubjid is not null
