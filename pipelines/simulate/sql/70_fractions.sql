-- one row per: patient, course and fraction
-- unit: Gy
-- why: Monday to Friday; the longest course spans the patient's whole radiotherapy, the others begin with it
with course as (
    select
        d.patient, d.target_no, d.dose_gy, d.fractions, p.rt_centre, p.rt_no, p.usubjid,
        world.working_days(p.rt_start, p.rt_end) as days,
        max(d.fractions) over (partition by d.patient) as most_fractions,
        row_number() over (partition by d.patient order by d.fractions desc, d.target_no) as length_rank
    from world.disease d join world.patients p using (patient)
    where d.irradiated
),
session as (
    select *, unnest(range(fractions)) as k from course
)
select
    rt_centre as centre, rt_no as subject_no, usubjid, 'C' || target_no as course_id, k + 1 as fraction_no,
    days[1 + case
        when most_fractions = 1 then case when length_rank = 1 then 0 else len(days) - 1 end
        when length_rank = 1 then k * (len(days) - 1) // (fractions - 1)
        else k end]::date as fxdt,
    -- the last fraction takes what rounding left over
    case when k + 1 < fractions then round(dose_gy / fractions, 3)
        else dose_gy - (fractions - 1) * round(dose_gy / fractions, 3) end as dose_gy,
    'complete' as fraction_status
from session
