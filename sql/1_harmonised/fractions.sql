-- one row per: delivered fraction
-- unit: Gy
-- why: delivered dose is counted, not taken from the plan
-- source: DICOM RT Beams Treatment Record
select
    usubjid, course_id, fraction_no, fxdt, dose_gy, fraction_status, centre, delivery_id, file_sha256,
    source_file, source_row
from staged.fractions
where usubjid is not null
