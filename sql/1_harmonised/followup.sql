-- one row per: subject and centre
-- why: both units may see the patient last
-- source: CDISC SDTM DS
select
    usubjid, fudt, death_dt, next_therapy_dt, centre, delivery_id, file_sha256, source_file, source_row
from staged.followup
where usubjid is not null
