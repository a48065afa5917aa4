-- one row per: irradiated target
-- why: ties a course to a lesion of the oncology centre
-- source: PROTOCOL, Linking
select
    usubjid, target_id, course_id, anatomic_site, technique, lesion_label, centre, delivery_id, file_sha256,
    source_file, source_row
from staged.targets
where usubjid is not null
