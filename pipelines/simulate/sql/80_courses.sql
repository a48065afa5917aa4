-- one row per: patient and irradiated target (each has its own course)
-- unit: Gy
select
    p.rt_centre as centre, p.rt_no as subject_no, p.usubjid, 'C' || d.target_no as course_id, d.technique,
    d.dose_gy as planned_dose_gy, d.fractions as planned_fractions, d.dose_gy as delivered_dose_gy, d.fractions as delivered_fractions,
    min(f.fxdt) as rtstdt, max(f.fxdt) as rtendt
from world.disease d
join world.patients p using (patient)
join world.fractions f on f.usubjid = p.usubjid and f.course_id = 'C' || d.target_no
where d.irradiated
group by all
