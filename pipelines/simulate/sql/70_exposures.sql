-- one row per: patient and interval of constant daily dose
-- unit: mg/day; 0 = interrupted
-- why: pazopanib goes on through radiotherapy, at most interrupted, until the second progression or the last visit
with plan as (
    select
        p.*, pr.start_dose_mg as full_mg,
        case when dose_same_after_rt = 1 then pr.start_dose_mg else pr.start_dose_mg - pr.dose_step_mg end as after_mg,
        coalesce(interruption_reason, 'toxicity') as reason,
        coalesce(second_progression, last_visit) as stop_all,
        case when pazopanib_interrupted_days > 0 then stop_dt else rt_end + 1 end as change_dt
    from world.patients p cross join world.protocol pr
),
step as (
    select *, unnest([
        {exstdt: pazopanib_start,
            exendt: case when pazopanib_interrupted_days > 0 or after_mg < full_mg then change_dt - 1 else stop_all end,
            exdose_mg: full_mg, exadj: null},
        {exstdt: change_dt, exendt: change_dt + pazopanib_interrupted_days - 1, exdose_mg: 0, exadj: reason},
        {exstdt: change_dt + pazopanib_interrupted_days, exendt: stop_all, exdose_mg: after_mg,
            exadj: case when after_mg < full_mg then reason end}
    ]) as part, unnest([1, 2, 3]) as part_no
    from plan
)
select
    onc_centre as centre, onc_no as subject_no, usubjid, 'pazopanib' as extrt,
    part.exstdt, part.exendt, part.exdose_mg, part.exadj
from step
where part_no = 1
    or (part_no = 2 and pazopanib_interrupted_days > 0)
    or (part_no = 3 and (pazopanib_interrupted_days > 0 or after_mg < full_mg) and part.exstdt <= part.exendt)
