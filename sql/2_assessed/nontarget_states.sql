-- one row per: linked subject, series and assessment at which non-target lesions are followed
-- why: non-target lesions are judged together, by presence and by unequivocal progression alone
-- source: RECIST 1.1, 4.3.3
with lesion as (
    select
        l.series, a.usubjid, a.visitnum, a.lesion_id, a.node_fl, a.lesion_state,
        -- once irradiated, no longer the drug's effect alone
        case when i.lesion_id is null then a.gone_fl end as gone_fl
    from assessed.series_lesions l
    join assessed.adtr a using (usubjid, lesion_id)
    left join assessed.irradiated_lesions i
        on i.usubjid = a.usubjid and i.lesion_id = a.lesion_id and i.first_fraction_dt < a.adt
    where l.series_role = 'non_target'
)
select
    usubjid, series, visitnum, count(*) as n_nontargets, count(gone_fl) as n_assessed,
    case when count(gone_fl) = count(*) and bool_and(gone_fl = 'Y') then 'Y' else 'N' end as all_gone_fl,
    -- an ordered string_agg takes four times as long
    array_to_string(list_sort(list(lesion_id) filter (gone_fl = 'N' and lesion_state = 'unequivocal_progression')), ', ') as progressed,
    array_to_string(list_sort(list(lesion_id) filter (gone_fl = 'N' and node_fl = 'N')), ', ') as seen
from lesion
group by usubjid, series, visitnum
