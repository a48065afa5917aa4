-- one row per: subject and eligibility criterion
-- why: declared by the centre, never inferred
-- source: CDISC SDTM IE
select
    usubjid, ietestcd, ieorres, centre, delivery_id, file_sha256, source_file, source_row
from staged.criteria
where usubjid is not null
