-- one row per: subject, test and date
-- unit: as stated in lbstresu
-- why: kept as data for grading by limits of the laboratory
-- source: CDISC SDTM LB
select
    usubjid, lbtestcd, lbdt, lbstresn, lbstresu, lbstnrlo, lbstnrhi, centre, delivery_id, file_sha256,
    source_file, source_row
from staged.labs
where usubjid is not null
