-- one row per: independent reader and lesion
-- why: a reader chooses and names lesions alone; they stand apart from the oncology centre's, so that nothing can mix them
-- source: CDISC SDTM TU (TUEVAL, TUEVALID)
select
    usubjid, coalesce(eval, 'INDEPENDENT ASSESSOR') as eval, coalesce(evalid, eval, 'INDEPENDENT ASSESSOR') as evalid,
    lesion_id, lesion_role, anatomic_site, measurable_fl, tudt, centre, delivery_id, file_sha256, source_file, source_row
from staged.reader_lesions
where usubjid is not null
