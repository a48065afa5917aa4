-- one row per: lesion and assessment
-- unit: mm; long axis, short axis for nodes
-- why: the only ground of every response
-- source: CDISC SDTM TR
select
    usubjid, lesion_id, visitnum, trdt, diameter_mm, lesion_state, method, centre, delivery_id, file_sha256,
    source_file, source_row
from staged.measurements
where usubjid is not null
