-- one row per: lesion of the oncology centre
-- why: roles as declared at baseline or at first sight
-- source: CDISC SDTM TU
select
    usubjid, lesion_id, lesion_role, anatomic_site, measurable_fl, tudt, centre, delivery_id, file_sha256,
    source_file, source_row
from staged.lesions
where usubjid is not null
