-- one row per: linked subject and anatomic site with disease at baseline or at the oligo-progression
-- why: Tables I and II count patients by anatomic site, not lesions
-- source: Paper, Tables I and II
with place as (
    select usubjid, anatomic_site, true as baseline, false as oligo, false as is_new, false as treated
    from assessed.series_lesions where series = 'first_line'
    union all
    select usubjid, anatomic_site, false, true, new_lesion_fl = 'Y', false from assessed.lesion_progressions
    union all
    select usubjid, anatomic_site, false, false, false, true from assessed.irradiated_lesions
)
select
    usubjid, anatomic_site,
    case when bool_or(baseline) then 'Y' else 'N' end as baseline_fl,
    case when bool_or(oligo) then 'Y' else 'N' end as oligo_fl,
    case when bool_or(is_new) then 'Y' else 'N' end as new_fl,
    case when bool_or(treated) then 'Y' else 'N' end as treated_fl
from place
where anatomic_site is not null
group by usubjid, anatomic_site
