-- one row per: patient of the cohort, with its two centres, study code and the dates that everything hangs on
-- why: the study code ends in its ISO 7064 mod 37,36 check character
with numbered as (
    select
        c.*, onc.centre as onc_centre, rt.centre as rt_centre,
        row_number() over (partition by c.onc_unit order by c.patient) as onc_no,
        row_number() over (partition by c.rt_unit order by c.patient) as rt_no
    from world.cohort c
    join world.units onc on onc.unit = c.onc_unit
    join world.units rt on rt.unit = c.rt_unit
)
select
    n.*,
    printf('RCC-%s-%03d-%s', upper(onc_centre), onc_no, world.check_char(printf('RCC%s%03d', upper(onc_centre), onc_no))) as usubjid,
    year(pazopanib_start) - age - world.steps(patient, 'birthday', 1) as birth_year,
    pazopanib_start - (s.baseline_scan_min_days
        + world.steps(patient, 'baseline scan', s.baseline_scan_max_days - s.baseline_scan_min_days)) as baseline_scan,
    greatest(restaging, coalesce(second_progression, last_followup)) as last_scan,
    coalesce(last_followup, greatest(second_progression, restaging)) as last_visit,
    least(rt_start + s.interruption_lag_days::int, rt_end) as stop_dt
from numbered n cross join world.story s
