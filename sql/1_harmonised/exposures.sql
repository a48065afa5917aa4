-- one row per: subject and interval of constant daily dose
-- unit: mg/day; 0 = interrupted
-- why: interruptions are intervals of their own
-- source: CDISC SDTM EX
select
    usubjid, extrt, exstdt, exendt, exdose_mg, exadj, centre, delivery_id, file_sha256, source_file,
    source_row
from staged.exposures
where usubjid is not null
