-- one row per: patient and lesion
select
    p.onc_centre as centre, p.onc_no as subject_no, p.usubjid, d.lesion_id, d.lesion_role, d.anatomic_site,
    case when d.is_measurable then 'Y' else 'N' end as measurable_fl,
    case d.seen when 'baseline' then p.baseline_scan when 'oligo' then p.oligo_progression else p.second_progression end as tudt
from world.disease d join world.patients p using (patient)
