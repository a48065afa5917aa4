-- one row per: subject and reported progression
-- why: compared with the derived ones, never copied
-- source: CDISC SDTM RS
select
    usubjid, progression_no, pddt, pattern, centre, delivery_id, file_sha256, source_file, source_row
from staged.progressions_reported
where usubjid is not null
