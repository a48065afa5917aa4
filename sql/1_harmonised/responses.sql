-- one row per: subject and reported assessment
-- unit: mm (sum of diameters)
-- why: compared with the derived ones, never copied
-- source: CDISC SDTM RS
select
    usubjid, visitnum, rsdt, sum_mm, overall_response, centre, delivery_id, file_sha256, source_file,
    source_row
from staged.responses
where usubjid is not null
