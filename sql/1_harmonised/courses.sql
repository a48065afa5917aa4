-- one row per: course of a radiotherapy centre
-- unit: Gy
-- why: the summary that the unit keeps; planned and delivered stay side by side
-- source: CodeX-RT course summary
select
    usubjid, course_id, technique, planned_dose_gy, planned_fractions, delivered_dose_gy,
    delivered_fractions, rtstdt, rtendt, centre, delivery_id, file_sha256, source_file, source_row
from staged.courses
where usubjid is not null
