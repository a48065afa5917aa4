-- one row per: patient
-- why: a next systemic therapy is known only where the follow-up goes well beyond second progression
select
    p.onc_centre as centre, p.onc_no as subject_no, p.usubjid, p.last_visit as fudt, p.death_date as death_dt,
    case when p.second_progression is not null and p.last_visit > p.last_scan + pr.toxicity_tail_days
        then p.last_scan + pr.toxicity_tail_days end as next_therapy_dt
from world.patients p cross join world.protocol pr
