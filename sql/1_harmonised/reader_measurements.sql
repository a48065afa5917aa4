-- one row per: independent reader, lesion and assessment
-- unit: mm; long axis, short axis for nodes
-- why: the only ground of a reader's responses; a row without a visit number belongs to the reader's visit of its date
-- source: CDISC SDTM TR (TREVAL, TREVALID)
select
    usubjid, coalesce(eval, 'INDEPENDENT ASSESSOR') as eval, coalesce(evalid, eval, 'INDEPENDENT ASSESSOR') as evalid,
    lesion_id, coalesce(visitnum, max(visitnum) over (partition by usubjid, eval, evalid, trdt)) as visitnum,
    trdt, diameter_mm, lesion_state, slice_mm, method, centre, delivery_id, file_sha256, source_file, source_row
from staged.reader_measurements
where usubjid is not null
