-- one row per: lesion and assessment
-- unit: mm; long axis, short axis for nodes
-- why: the only ground of every response; a row without a visit number belongs to the visit of its date
-- source: CDISC SDTM TR
select
    usubjid, lesion_id,
    coalesce(visitnum, max(visitnum) over (partition by usubjid, trdt)) as visitnum,
    trdt, diameter_mm, lesion_state, slice_mm, method, centre, delivery_id, file_sha256,
    source_file, source_row
from staged.measurements
where usubjid is not null
