-- one row per: patient, lesion and scan
-- unit: mm
with size as (
    select patient, lesion_id, visitnum, trdt, diameter_mm, lesion_state, null as method from world.early
    union all by name
    select * from world.late
)
select
    p.onc_centre as centre, p.onc_no as subject_no, p.usubjid, z.lesion_id, z.visitnum, z.trdt, z.diameter_mm,
    z.lesion_state, null as slice_mm, coalesce(z.method, d.method) as method
from size z join world.patients p using (patient) join world.disease d using (patient, lesion_id)
