-- one row per: patient and irradiated target
select
    p.rt_centre as centre, p.rt_no as subject_no, p.usubjid, 'T' || d.target_no as target_id, 'C' || d.target_no as course_id,
    d.anatomic_site, d.technique, d.lesion_id as lesion_label
from world.disease d join world.patients p using (patient)
where d.irradiated
